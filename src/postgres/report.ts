import { sql } from "drizzle-orm";
import type pg from "pg";
import { Trouble } from "../trouble.ts";
import { withConnection } from "./connect.ts";
import { instantText } from "./cursors.ts";

/** Instants are ISO 8601 in UTC. */
export interface Report {
  cursors: {
    environment: string;
    filter: string;
    after: string | null;
    at: string;
    updated_at: string;
    /** Null where the mirror began. */
    range_start: string | null;
    /** Null for the row that follows the present; every other one is a slice of history. */
    range_end: string | null;
    started_at: string;
  }[];
  /** Estimated by the planner's statistics: counting millions of rows would take as long. */
  events: number;
  last_event: { id: string; event: string; created_at: string; mirrored_at: string } | null;
  quarantined_events: number;
  gaps: number;
}

const utc = (column: string) => sql`${instantText(column)} as ${sql.raw(column)}`;

/** What the tables say of the mirror. */
export function readReport(pool: pg.Pool): Promise<Report> {
  return withConnection(pool, async (database) => {
    const cursors = await database.execute<Report["cursors"][number]>(sql`
      select environment, filter, after, ${utc("at")}, ${utc("updated_at")},
        ${utc("range_start")}, ${utc("range_end")}, ${utc("started_at")}
      from workos.cursors
      order by environment, filter, cursors.range_end`);
    const last = await database.execute<NonNullable<Report["last_event"]>>(
      sql`select id, event, ${utc("created_at")}, ${utc("mirrored_at")} from workos.events order by seq desc limit 1`,
    );
    const counts = await database.execute<{ events: number; quarantined_events: number; gaps: number }>(sql`
      select
        (select case when reltuples < 10000 then (select count(*) from workos.events) else reltuples end::float8
         from pg_class where oid = 'workos.events'::regclass) as events,
        (select count(*)::int from workos.quarantined_events) as quarantined_events,
        (select count(*)::int from workos.gaps) as gaps`);
    const [count] = counts.rows;
    return {
      cursors: cursors.rows,
      last_event: last.rows[0] ?? null,
      events: count?.events ?? 0,
      quarantined_events: count?.quarantined_events ?? 0,
      gaps: count?.gaps ?? 0,
    };
  });
}

/** The oldest version that is tested. */
const OLDEST_VERSION = 140_000;

/** Answers the server's version; throws when it can't be reached or is too old. */
export function readServerVersion(pool: pg.Pool): Promise<string> {
  return withConnection(pool, async (database) => {
    const result = await database.execute<{ version: string; number: number }>(
      sql`select current_setting('server_version') as version, current_setting('server_version_num')::int as number`,
    );
    const { version = "unknown", number = 0 } = result.rows[0] ?? {};
    if (number >= OLDEST_VERSION) return version;
    const hint = "use PostgreSQL 14 or newer";
    throw new Trouble(`PostgreSQL ${version} is too old`, { kind: "refused", code: "postgres_too_old", hint });
  });
}
