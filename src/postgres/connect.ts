import { drizzle, type NodePgDatabase } from "drizzle-orm/node-postgres";
import pg from "pg";
import { Client, type Connector, connecting, createConnector, type DatabaseOptions } from "./client.ts";
import { troubleOfPostgres } from "./errors.ts";
import { prepareSession } from "./session.ts";

export type Database = NodePgDatabase;

/** A query that is not answered within this time counts as lost, and its connection with it. */
const QUERY_TIMEOUT_MS = 20_000;

type ConnectCallback = (
  error: Error | undefined,
  client: pg.PoolClient | undefined,
  done: (error?: Error | boolean) => void,
) => void;

export class Pool extends pg.Pool {
  readonly #connector: Connector;
  readonly #busy = new Set<pg.PoolClient>();

  constructor(connector: Connector) {
    super({
      ...connector.config,
      max: 4,
      onConnect: prepareSession,
      Client: class extends Client {
        constructor() {
          super(connector);
        }
      },
    });
    this.#connector = connector;
    // An idle connection that dies is replaced by the next query, which tells of it if that fails, too; one that dies
    // at work fails its query. Without the second listener, which the pool takes away meanwhile, that would end the
    // process.
    this.on("error", () => undefined);
    this.on("connect", (client) => client.on("error", () => undefined));
    this.on("acquire", (client) => this.#busy.add(client));
    this.on("release", (_error, client) => this.#busy.delete(client));
  }

  /** Breaks off what is under way: it is rolled back, and its promise rejects. What comes next gets new connections. */
  cut(): void {
    for (const client of this.#busy) client.connection.stream.destroy();
  }

  /** Another pool on the same database, without a limit to how long an answer may take. */
  patient(): Pool {
    const { config, encryption } = this.#connector;
    return new Pool({ config: { ...config, query_timeout: 0 }, encryption });
  }

  override connect(): Promise<pg.PoolClient>;
  override connect(callback: ConnectCallback): void;
  override connect(callback?: ConnectCallback): Promise<pg.PoolClient> | undefined {
    if (callback === undefined) return connecting(this.#connector, () => super.connect());
    this.connect().then(
      (client) => callback(undefined, client, (error) => client.release(error)),
      (error) => callback(error, undefined, () => undefined),
    );
    return undefined;
  }
}

/** Opens no connection yet: that happens with the first query. */
export function createPool(options: DatabaseOptions): Pool {
  const { config, encryption } = createConnector(options, QUERY_TIMEOUT_MS);
  return new Pool({ config: { ...config, pipeline: true }, encryption });
}

/**
 * Runs `work` on a connection of its own; whatever goes wrong comes out as a Trouble, and closes the connection: that
 * rolls back without asking a server that may not answer any more.
 */
export async function withClient<T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  let client: pg.PoolClient | undefined;
  let broken = true;
  try {
    client = await pool.connect();
    const result = await work(client);
    broken = false;
    return result;
  } catch (error) {
    throw troubleOfPostgres(error);
  } finally {
    client?.release(broken);
  }
}

export function withConnection<T>(pool: pg.Pool, work: (database: Database) => Promise<T>): Promise<T> {
  return withClient(pool, (client) => work(drizzle({ client })));
}

/** The same on a connection that waits for an answer as long as it takes: to migrate a large table may take hours. */
export async function withPatientConnection<T>(pool: pg.Pool, work: (database: Database) => Promise<T>): Promise<T> {
  if (!(pool instanceof Pool)) return withConnection(pool, work);
  const patient = pool.patient();
  try {
    return await withConnection(patient, work);
  } finally {
    await patient.end();
  }
}
