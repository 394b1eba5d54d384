import { sql } from "drizzle-orm";
import type pg from "pg";
import { Trouble } from "../trouble.ts";
import { type Database, withConnection } from "./connect.ts";
import { isPermissionDenied } from "./errors.ts";

/** What mirroring does with each table. docs/roles.md grants the same. */
const NEEDED = {
  __drizzle_migrations: "select",
  events: "select, insert, update",
  cursors: "select, insert, update, delete",
  quarantined_events: "select, insert",
  gaps: "select, insert",
} as const;

/** Throws with the GRANTs that are missing for mirroring. */
export async function requirePrivileges(pool: pg.Pool): Promise<void> {
  const grants = await missingGrants(pool);
  if (grants.length === 0) return;
  const hint = asOwner(grants);
  throw new Trouble("the role may not do all that mirroring takes", { kind: "refused", code: "privileges", hint });
}

/** Runs `work`; when a privilege is missing, what is thrown names the GRANTs that are. */
export async function tellingGrants<T>(pool: pg.Pool, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Trouble) || !isPermissionDenied(error)) throw error;
    const grants = await missingGrants(pool);
    throw grants.length === 0 ? error : withHint(error, asOwner(grants));
  }
}

function asOwner(grants: readonly string[]): string {
  return `run as the owner of the schema: ${grants.join(" ")}`;
}

function withHint({ message, kind, code, retryAfterMs, cause }: Trouble, hint: string): Trouble {
  return new Trouble(message, { kind, code, retryAfterMs, cause, hint });
}

function missingGrants(pool: pg.Pool): Promise<string[]> {
  return withConnection(pool, async (database) => {
    const grants: string[] = [];
    const result = await database.execute<{ role: string; usage: boolean }>(
      sql`select quote_ident(current_user) as role, has_schema_privilege('workos', 'usage') as usage`,
    );
    const { role = "the role", usage = false } = result.rows[0] ?? {};
    if (!usage) grants.push(`grant usage on schema workos to ${role};`);
    for (const [table, privileges] of Object.entries(NEEDED)) {
      // Without USAGE Postgres does not even say what is held on a table.
      if (usage && (await holds(database, table, privileges))) continue;
      grants.push(`grant ${privileges} on workos.${table} to ${role};`);
    }
    return grants;
  });
}

async function holds(database: Database, table: string, privileges: string): Promise<boolean> {
  const result = await database.execute<{ held: boolean }>(sql`
    select bool_and(has_table_privilege(${`workos.${table}`}, privilege)) as held
    from unnest(string_to_array(${privileges}, ', ')) as privilege`);
  return result.rows[0]?.held ?? false;
}

/** The same for migrating: who lacks a privilege for that is told which, or who has to do it instead. */
export async function withMigrationGrants(pool: pg.Pool, error: Trouble): Promise<Trouble> {
  const { rows } = await withConnection(pool, (database) =>
    database.execute<{ role: string; database: string; may_create: boolean; owner: string | null; migrated: boolean }>(
      sql`
        select
          quote_ident(current_user) as role,
          quote_ident(current_database()) as database,
          has_database_privilege(current_database(), 'create') as may_create,
          (select quote_ident(pg_get_userbyid(nspowner)) from pg_namespace where nspname = 'workos') as owner,
          exists (select from pg_tables where schemaname = 'workos') as migrated`,
    ),
  );
  const [state] = rows;
  if (state === undefined) return error;
  if (state.migrated && state.owner !== state.role) {
    return withHint(error, `run \`workos-events-mirror migrate\` as ${state.owner}, who owns the schema workos`);
  }
  const { role, owner } = state;
  const grants = [
    ...(state.may_create ? [] : [`grant create on database ${state.database} to ${role};`]),
    ...(owner === null || owner === role ? [] : [`alter schema workos owner to ${role};`]),
  ];
  return grants.length === 0 ? error : withHint(error, `run as a superuser: ${grants.join(" ")}`);
}
