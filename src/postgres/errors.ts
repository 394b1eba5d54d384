import pg from "pg";
import { messageOf, Trouble } from "../trouble.ts";
import { isCertificateRefused } from "./encryption.ts";

/** SQLSTATEs that no quick retry can heal, with what to do. */
const REFUSALS: Record<string, string> = {
  "28000": "check the user, sslmode and the server's pg_hba.conf, which says who may come from where and how",
  "28P01": "check user and password in DATABASE_URL or the PG* variables",
  "3D000": "create the database that DATABASE_URL names",
  "42501":
    "grant the role of DATABASE_URL what the message names, or let a role that owns the schema workos run `migrate`",
  "42P01": "run `workos-events-mirror migrate` with a role that may create tables",
  "3F000": "run `workos-events-mirror migrate` with a role that may create the schema workos",
  "42703": "the tables are of another version: run `workos-events-mirror migrate`",
  "25006": "the server is read-only: point DATABASE_URL at the primary",
};

const UNTRUSTED =
  "the file of sslrootcert (PGSSLROOTCERT) has to hold the certificate authority that signed the server's certificate";
const RENEW = "renew the server's certificate, or correct this machine's clock";

/** The verdicts on the server's certificate that call for something else. */
const CERTIFICATES: Record<string, string> = {
  ERR_TLS_CERT_ALTNAME_INVALID:
    "connect to a host name that the server's certificate holds, or do without that check: sslmode=verify-ca",
  CERT_HAS_EXPIRED: RENEW,
  CERT_NOT_YET_VALID: RENEW,
};

/** Data that a column can't hold, whatever is retried: NUL, lone surrogates, numbers out of range, nesting, size. */
export function isDataRefused(error: unknown): boolean {
  const state = sqlState(error);
  return state !== undefined && (state.startsWith("22") || state === "54000" || state === "54001");
}

const SOON_MS = 5_000;

/** Turns what pg or drizzle throws into a Trouble. A Trouble stays what it is. */
export function troubleOfPostgres(error: unknown): Trouble {
  if (error instanceof Trouble) return error;
  const state = sqlState(error);
  const about = isCertificateRefused(rootOf(error)) ? "the server's certificate is refused: " : "";
  const said = `${about}${serverMessageOf(error)}`;
  const hint = (state === undefined ? undefined : REFUSALS[state]) ?? hintOfConnection(error);
  return new Trouble(`Postgres: ${said}${state === undefined ? "" : ` (SQLSTATE ${state})`}`, {
    kind: hint === undefined ? "passing" : "refused",
    code: hint === undefined ? "postgres_failing" : "postgres_refused",
    hint: hint ?? "retried by itself; if it lasts, check the server's own log and that it can be reached from here",
    // what is put right in the server heals soon; a password is not tried more often than need be
    ...(hint === undefined || state === undefined || state.startsWith("28") ? {} : { retryAfterMs: SOON_MS }),
    cause: rootOf(error),
  });
}

export function isPermissionDenied(error: unknown): boolean {
  return sqlState(error) === "42501";
}

/** What to do against what refuses a connection without a word of the server's own. */
function hintOfConnection(error: unknown): string | undefined {
  const root = rootOf(error);
  if (isCertificateRefused(root)) return CERTIFICATES[root.code] ?? UNTRUSTED;
  const said = messageOf(root);
  if (said.startsWith("SASL")) return REFUSALS["28P01"]; // against a missing password
  if (said.startsWith("The server does not support SSL")) {
    return "turn ssl on in the server, or do without encryption: sslmode=prefer";
  }
  if (!said.startsWith("unsupported startup parameter")) return undefined; // PgBouncer's words
  return "leave out PGOPTIONS (options), or have the pooler let it pass: ignore_startup_parameters in pgbouncer.ini";
}

/** The server's own sentence, without the statement and the values around it. */
export function serverMessageOf(error: unknown): string {
  return messageOf(rootOf(error));
}

/** drizzle wraps pg's error, and its message holds the whole statement with all its values. */
function rootOf(error: unknown): unknown {
  return error instanceof Error && error.cause instanceof Error ? rootOf(error.cause) : error;
}

function sqlState(error: unknown): string | undefined {
  const root = rootOf(error);
  return root instanceof pg.DatabaseError ? root.code : undefined;
}
