import pg from "pg";
import { messageOf, Trouble } from "../trouble.ts";

/** SQLSTATEs and classes that no quick retry can heal, with what to do. */
const REFUSALS: Record<string, string> = {
  "28": "check user and password in DATABASE_URL and the server's pg_hba.conf",
  "3D000": "create the database that DATABASE_URL names",
  "42501":
    "grant the role of DATABASE_URL what the message names, or let a role that owns the schema workos run `migrate`",
  "42P01": "run `workos-events-mirror migrate` with a role that may create tables",
  "3F000": "run `workos-events-mirror migrate` with a role that may create the schema workos",
  "42703": "the tables are of another version: run `workos-events-mirror migrate`",
  "25006": "the server is read-only: point DATABASE_URL at the primary",
};

/** Data that a column can't hold, whatever is retried: NUL, lone surrogates, numbers out of range, nesting, size. */
export function isDataRefused(error: unknown): boolean {
  const state = sqlState(error);
  return state !== undefined && (state.startsWith("22") || state === "54000" || state === "54001");
}

/** Turns what pg or drizzle throws into a Trouble. A Trouble stays what it is. */
export function troubleOfPostgres(error: unknown): Trouble {
  if (error instanceof Trouble) return error;
  const state = sqlState(error);
  const said = serverMessageOf(error);
  // What SASL says against a missing password comes from the driver, without a SQLSTATE.
  const reason = state ?? (said.startsWith("SASL") ? "28" : undefined);
  const hint = reason === undefined ? undefined : (REFUSALS[reason] ?? REFUSALS[reason.slice(0, 2)]);
  return new Trouble(`Postgres: ${said}${state === undefined ? "" : ` (SQLSTATE ${state})`}`, {
    kind: hint === undefined ? "passing" : "refused",
    code: hint === undefined ? "postgres_failing" : "postgres_refused",
    hint: hint ?? "retried by itself; if it lasts, check the server's own log and that it can be reached from here",
    cause: rootOf(error),
  });
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
