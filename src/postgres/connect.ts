import { drizzle, type NodePgDatabase } from "drizzle-orm/node-postgres";
import pg from "pg";
import { Client, type Connector, connecting, createConnector, type DatabaseOptions } from "./client.ts";
import { troubleOfPostgres } from "./errors.ts";

export type Database = NodePgDatabase;

/** A query that is not answered within this time counts as lost, and its connection with it. */
const QUERY_TIMEOUT_MS = 30_000;

type ConnectCallback = (
  error: Error | undefined,
  client: pg.PoolClient | undefined,
  done: (error?: Error | boolean) => void,
) => void;

class Pool extends pg.Pool {
  readonly #connector: Connector;

  constructor(connector: Connector) {
    super({
      ...connector.config,
      max: 4,
      Client: class extends Client {
        constructor() {
          super(connector);
        }
      },
    });
    this.#connector = connector;
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
export function createPool(options: DatabaseOptions): pg.Pool {
  const connector = createConnector(options, QUERY_TIMEOUT_MS);
  connector.config.pipeline = true;
  const pool = new Pool(connector);
  // An idle connection that dies is replaced by the next query, which tells of it if that fails, too; one that dies at
  // work fails its query. Without the second listener, which the pool takes away meanwhile, that would end the process.
  pool.on("error", () => undefined);
  pool.on("connect", (client) => client.on("error", () => undefined));
  return pool;
}

/** Runs `work` on a connection of its own; whatever goes wrong comes out as a Trouble. */
export async function withConnection<T>(pool: pg.Pool, work: (database: Database) => Promise<T>): Promise<T> {
  let client: pg.PoolClient | undefined;
  let broken = true;
  try {
    client = await pool.connect();
    const result = await work(drizzle({ client }));
    broken = false;
    return result;
  } catch (error) {
    throw troubleOfPostgres(error);
  } finally {
    client?.release(broken);
  }
}
