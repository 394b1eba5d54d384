import { readFileSync } from "node:fs";
import type { ConnectionOptions } from "node:tls";
import pg from "pg";
import { readConnection } from "../connection.ts";
import type { ConnectionParameters } from "../connection-parameters.ts";
import { messageOf, Trouble } from "../trouble.ts";
import { Encryption } from "./encryption.ts";

export type DatabaseOptions = {
  applicationName: string;
  /** Asked for each connection; without it, the password is that of the parameters. */
  readPassword?: () => Promise<string>;
} & ({ parameters: ConnectionParameters } | { url: string });

const CONNECT_TIMEOUT_MS = 10_000;
/** Node asks ten times, once a second: a server that has gone without a word is noticed after 15 seconds of silence. */
const KEEPALIVE_AFTER_MS = 5_000;

/** What every connection to one database has in common. */
export interface Connector {
  config: pg.ClientConfig;
  encryption: Encryption;
}

/** A query that is not answered within `queryTimeoutMs` fails. */
export function createConnector(options: DatabaseOptions, queryTimeoutMs: number): Connector {
  const parameters = parametersOf(options);
  const { channel_binding: binding } = parameters;
  const config: pg.ClientConfig = {
    host: parameters.host,
    port: parameters.port,
    user: parameters.user,
    database: parameters.dbname,
    password: options.readPassword ?? (() => parameters.password ?? ""),
    application_name: parameters.application_name ?? options.applicationName,
    connectionTimeoutMillis: parameters.connect_timeout * 1000 || CONNECT_TIMEOUT_MS,
    query_timeout: queryTimeoutMs,
    enableChannelBinding: binding === "prefer" || binding === "require",
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEPALIVE_AFTER_MS,
    ...(parameters.options === undefined ? {} : { options: parameters.options }),
    ...(parameters.sslnegotiation === undefined ? {} : { sslnegotiation: parameters.sslnegotiation }),
  };
  return { config, encryption: new Encryption(parameters) };
}

function parametersOf(options: DatabaseOptions): ConnectionParameters {
  if ("parameters" in options) return options.parameters;
  const readFile = (path: string) => readFileSync(path, "utf8");
  const { parameters, problems } = readConnection({ url: options.url, urlName: "DATABASE_URL", env: {}, readFile });
  if (parameters === undefined) throw new Error(problems.join("; "));
  return parameters;
}

/** A connection that is encrypted as sslmode says. */
export class Client extends pg.Client {
  readonly #encryption: Encryption;
  readonly #tls: ConnectionOptions | undefined;

  constructor({ config, encryption }: Connector) {
    const tls = encryption.isOn ? {} : undefined;
    super({ ...config, ssl: tls ?? false });
    this.#encryption = encryption;
    this.#tls = tls;
  }

  override connect(): Promise<pg.Client>;
  override connect(callback: (error: Error) => void): void;
  override connect(callback?: (error: Error) => void): Promise<pg.Client> | undefined {
    if (callback === undefined) {
      return new Promise((resolve, reject) => this.connect((error) => (error ? reject(error) : resolve(this))));
    }
    try {
      if (this.#tls !== undefined) Object.assign(this.#tls, this.#encryption.options());
    } catch (error) {
      callback(fileTrouble(error));
      return undefined;
    }
    super.connect((error: Error) => {
      // pg leaves a login open that it has no password for, which would keep the process from ending for a minute
      if (error) this.end(() => undefined);
      callback(error);
    });
    return undefined;
  }
}

/** Makes a connection, and makes it once more where sslmode has another way. */
export async function connecting<T>({ encryption }: Connector, attempt: () => Promise<T>): Promise<T> {
  const wasOn = encryption.isOn;
  try {
    return await attempt();
  } catch (error) {
    if (!encryption.turnsAfter(error, wasOn)) throw error;
    return attempt();
  }
}

function fileTrouble(error: unknown): Trouble {
  return new Trouble(`Postgres: a file of sslrootcert, sslcert or sslkey can't be used: ${messageOf(error)}`, {
    kind: "refused",
    code: "postgres_refused",
    hint: "put the certificate back where PGSSLROOTCERT, PGSSLCERT and PGSSLKEY, or DATABASE_URL, name it",
    cause: error,
  });
}
