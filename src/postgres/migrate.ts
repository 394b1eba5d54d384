import { sql } from "drizzle-orm";
import { readMigrationFiles } from "drizzle-orm/migrator";
import { migrate } from "drizzle-orm/node-postgres/migrator";
import type pg from "pg";
import { messageOf, Trouble } from "../trouble.ts";
import { type Database, withConnection, withPatientConnection } from "./connect.ts";
import { isPermissionDenied, troubleOfPostgres } from "./errors.ts";
import { tellingGrants, withMigrationGrants } from "./privileges.ts";

const CONFIG = { migrationsSchema: "workos", migrationsTable: "__drizzle_migrations" };

/** Any constant that no other program is likely to lock; the same in every version. */
const MIGRATION_LOCK = 5_276_001_001;

export interface MigrationState {
  /** Migrations of this version that the database lacks. */
  pending: number;
  /** The database has migrations that this version does not know: a newer version was here. */
  newer: boolean;
}

/**
 * Applies what is missing, all in one transaction and under a lock, so that replicas may start together. Answers how
 * many were applied; needs no right to create anything when there is nothing to do. A migration that fails throws a
 * fatal Trouble: going on with another schema would lose events.
 */
export async function applyMigrations(pool: pg.Pool, folder: string): Promise<number> {
  const { pending } = await tellingGrants(pool, () => readMigrationState(pool, folder));
  if (pending === 0) return 0;
  const applied = withPatientConnection(pool, async (database) => {
    // a lock of the transaction, since one of the session would stay behind in a pooler
    await database.execute(sql`begin isolation level read committed`);
    await database.execute(sql`set local statement_timeout = 0`);
    await database.execute(sql`select pg_advisory_xact_lock(${MIGRATION_LOCK}::bigint)`);
    const missing = (await readState(database, folder)).pending;
    // drizzle begins a transaction, too, which is this one, and commits it
    await migrate(database, { migrationsFolder: folder, ...CONFIG }).catch((error: unknown) => {
      throw migrationTrouble(error); // which closes the connection, and so rolls back
    });
    return missing;
  });
  return applied.catch(async (error: unknown) => {
    throw error instanceof Trouble && isPermissionDenied(error) ? await withMigrationGrants(pool, error) : error;
  });
}

export function readMigrationState(pool: pg.Pool, folder: string): Promise<MigrationState> {
  return withConnection(pool, (database) => readState(database, folder));
}

async function readState(database: Database, folder: string): Promise<MigrationState> {
  const known = readMigrationFiles({ migrationsFolder: folder, ...CONFIG }).map((migration) => migration.folderMillis);
  const newest = await newestApplied(database);
  return {
    pending: known.filter((millis) => millis > newest).length,
    newer: newest > Math.max(...known),
  };
}

/** drizzle's own measure: the time at which the newest applied migration was written; -1 when there is none. */
async function newestApplied(database: Database): Promise<number> {
  // by pg_tables: to_regclass would answer from before this transaction had to wait for the lock
  const looked = await database.execute<{ exists: boolean; encoding: string }>(sql`
    select
      exists (select from pg_tables where schemaname = 'workos' and tablename = '__drizzle_migrations') as exists,
      current_setting('server_encoding') as encoding`);
  const { exists = false, encoding = "unknown" } = looked.rows[0] ?? {};
  if (encoding !== "UTF8") throw encodingTrouble(encoding);
  if (!exists) return -1;
  const newest = await database.execute<{ newest: string | null }>(
    sql`select max(created_at)::text as newest from workos.__drizzle_migrations`,
  );
  return Number(newest.rows[0]?.newest ?? -1);
}

/**
 * A server that goes away or is short of something is passing, a deadlock too; a missing privilege and a server that
 * only reads are refused. What it says against the SQL itself is fatal.
 */
function migrationTrouble(error: unknown): Trouble {
  const trouble = troubleOfPostgres(error);
  const answered = /SQLSTATE (?!08|40|53|55P03|57|42501|25006)/.test(trouble.message);
  if (!answered) return trouble;
  return new Trouble(`a migration failed and was rolled back: ${messageOf(trouble)}`, {
    kind: "fatal",
    code: "migration_failed",
    hint: "see the reason; nothing was changed, and nothing was mirrored",
    cause: error,
  });
}

function encodingTrouble(encoding: string): Trouble {
  return new Trouble(`the database's encoding is ${encoding}, which can't hold every event`, {
    kind: "fatal",
    code: "encoding_refused",
    hint: "create a database for it: create database workos encoding 'UTF8' template template0",
  });
}
