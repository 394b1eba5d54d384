import type { SQL } from "drizzle-orm";
import { PgDialect } from "drizzle-orm/pg-core";
import type pg from "pg";
import { withClient } from "./connect.ts";

export type Row = Record<string, unknown>;

const dialect = new PgDialect();

/**
 * Begins at a level at which each statement sees what was committed before it, whatever the database's default is:
 * under a stricter one, whoever waited for the lock would go on with an outdated view.
 *
 * Every writer of workos.events holds the lock until its commit: so `seq` grows in the order of commits. A writer that
 * is frozen in the middle loses it, and its transaction, after ten seconds.
 */
const BEGIN = `
  begin isolation level read committed;
  set local idle_in_transaction_session_timeout = '10s';
  select pg_advisory_xact_lock(5276001002)`;

/**
 * Runs the statements in one transaction, under the lock of all writers, and answers the rows of each. All of them are
 * sent at once: the transaction costs one round trip.
 */
export function inTransaction(pool: pg.Pool, statements: readonly SQL[]): Promise<Row[][]> {
  return withClient(pool, async (client) => {
    const sent = [
      client.query(BEGIN),
      ...statements.map((statement) => send(client, statement)),
      client.query("commit"),
    ];
    // The first that fails is the reason; those behind it fail because of it.
    const [, ...results] = await settleAll(sent);
    return results.slice(0, -1).map(({ rows }) => rows);
  });
}

/** A statement by itself; it comes as it is, past the part of drizzle that an idle mirror would feel. */
export async function inOneStatement<R extends Row>(pool: pg.Pool, statement: SQL): Promise<R[]> {
  const { rows } = await withClient(pool, (client) => send<R>(client, statement));
  return rows;
}

function send<R extends Row>(client: pg.PoolClient, statement: SQL): Promise<pg.QueryResult<R>> {
  const { sql: text, params } = dialect.sqlToQuery(statement);
  return client.query(text, params);
}

async function settleAll<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  const settled = await Promise.allSettled(promises);
  return settled.map((result) => {
    if (result.status === "rejected") throw result.reason;
    return result.value;
  });
}
