import { readFileSync } from "node:fs";
import tls, { type ConnectionOptions } from "node:tls";
import pg from "pg";
import type { ConnectionParameters } from "../connection-parameters.ts";

/**
 * What sslmode means to libpq, which node-postgres reads otherwise:
 * https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-SSLMODE-STATEMENTS
 * `prefer` and `allow` have a second way when the first is refused; the way that worked is taken again.
 */
export class Encryption {
  readonly #parameters: ConnectionParameters;
  #isOn: boolean;

  constructor(parameters: ConnectionParameters) {
    this.#parameters = parameters;
    this.#isOn = this.#startsOn;
  }

  /** Whether the next connection is to be encrypted. */
  get isOn(): boolean {
    return this.#isOn;
  }

  get #startsOn(): boolean {
    const { host, sslmode } = this.#parameters;
    return sslmode !== "disable" && sslmode !== "allow" && !host.startsWith("/");
  }

  /** For tls.connect. Its files are read anew for each connection: certificates are renewed while this runs. */
  options(): ConnectionOptions {
    const { sslmode, sslrootcert, sslcert, sslkey } = this.#parameters;
    return {
      ...(sslrootcert === undefined ? { rejectUnauthorized: false } : { ca: authoritiesOf(sslrootcert) }),
      ...(sslmode === "verify-full" ? {} : { checkServerIdentity: () => undefined }),
      ...(sslcert === undefined ? {} : { cert: readFileSync(sslcert) }),
      ...(sslkey === undefined ? {} : { key: readFileSync(sslkey) }),
    };
  }

  /** Whether to try again, after a connection failed that was encrypted or not: then the other way is next. */
  turnsAfter(error: unknown, wasOn: boolean): boolean {
    const { host, sslmode } = this.#parameters;
    const hasOtherWay = (sslmode === "prefer" || sslmode === "allow") && !host.startsWith("/");
    const turns = hasOtherWay && isAboutEncryption(error);
    this.#isOn = turns ? !wasOn : this.#startsOn;
    return turns;
  }
}

/** Those of the machine and those that Node brings along, which not every machine has. */
function authoritiesOf(sslrootcert: string): ConnectionOptions["ca"] {
  if (sslrootcert !== "system") return readFileSync(sslrootcert);
  const tellsThem = "getCACertificates" in tls; // from Node 22.15 on
  return tellsThem ? [...tls.getCACertificates("default"), ...tls.getCACertificates("system")] : undefined;
}

/** The server has no TLS, or none that suits both; or pg_hba.conf lets in only those who come the other way. */
function isAboutEncryption(error: unknown): boolean {
  if (error instanceof pg.DatabaseError) return error.code === "28000";
  if (!(error instanceof Error)) return false;
  const isTls = "code" in error && /^(ERR_SSL|ERR_TLS|EPROTO$)/.test(String(error.code));
  return isTls || isCertificateRefused(error) || /SSL connection|secure TLS connection/.test(error.message);
}

/** Names of OpenSSL's verdicts on a certificate, and Node's on its host name. */
export function isCertificateRefused(error: unknown): error is Error & { code: string } {
  const verdicts =
    /^(CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|ERROR_IN_CERT_|INVALID_|PATH_LENGTH_|HOSTNAME_|ERR_TLS_CERT_)/;
  return error instanceof Error && "code" in error && verdicts.test(String(error.code));
}
