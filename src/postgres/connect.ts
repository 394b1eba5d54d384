import { drizzle, type NodePgDatabase } from "drizzle-orm/node-postgres";
import pg from "pg";
import { troubleOfPostgres } from "./errors.ts";

export interface DatabaseOptions {
  /** Absent: PGHOST and the other variables that libpq knows. */
  url?: string;
  applicationName: string;
}

/** A query that is not answered within this time counts as lost, and its connection with it. */
const QUERY_TIMEOUT_MS = 30_000;
const CONNECT_TIMEOUT_MS = 10_000;

export type Database = NodePgDatabase;

/** pg leaves a login open that it has no password for, which would keep the process from ending for a minute. */
class Client extends pg.Client {
  override connect(): Promise<pg.Client>;
  override connect(callback: (error: Error) => void): void;
  override connect(callback?: (error: Error) => void): Promise<pg.Client> | undefined {
    if (callback === undefined) return super.connect();
    super.connect((error: Error) => {
      if (error) this.end(() => undefined);
      callback(error);
    });
    return undefined;
  }
}

/** Opens no connection yet: that happens with the first query. */
export function createPool({ url, applicationName }: DatabaseOptions): pg.Pool {
  const pool = new pg.Pool({
    Client,
    ...(url === undefined ? {} : { connectionString: url }),
    application_name: applicationName,
    max: 4,
    pipeline: true,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: QUERY_TIMEOUT_MS,
    keepAlive: true,
  });
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
