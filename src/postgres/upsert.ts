import { type SQL, sql } from "drizzle-orm";
import type { MirroredEvent, SavedEvents } from "../event.ts";
import type { Database } from "./connect.ts";

/**
 * One statement for all events. A row that is the same already is left out before the insert: merely meeting it in ON
 * CONFLICT would lock it, which writes to the table and to the WAL, and would use up a `seq`.
 */
export async function upsertEvents(
  database: Database,
  environment: string,
  events: readonly MirroredEvent[],
  cursor: string | undefined,
): Promise<Pick<SavedEvents, "inserted" | "updated">> {
  if (events.length === 0) return { inserted: new Map(), updated: 0 };
  const written = await database.execute<{ event: string; inserted: boolean; count: number }>(sql`
    with page as (
      select
        id, event, created_at,
        ${indexable(sql`case when starts_with(event, 'organization.') then data ->> 'id' else data ->> 'organization_id' end`)} as organization_id,
        ${indexable(sql`data ->> 'id'`)} as object_id,
        coalesce(data, 'null') as data, context, ${environment}::text as environment, extra, ordinality
      from ${recordsOf(events)} with ordinality
    ),
    written as (
      insert into workos.events
        (id, event, created_at, organization_id, object_id, data, context, environment, extra)
      select id, event, created_at, organization_id, object_id, data, context, environment, extra
      from page
      where not exists (
        select from workos.events as stored
        where stored.id = page.id
          and ${sameContent("stored", "page")}
      )
      order by ordinality
      on conflict (id) do update
      set event = excluded.event,
          created_at = excluded.created_at,
          organization_id = excluded.organization_id,
          object_id = excluded.object_id,
          data = excluded.data,
          context = excluded.context,
          environment = excluded.environment,
          extra = excluded.extra
      where not (${sameContent("events", "excluded")})
      returning event, mirrored_at = transaction_timestamp() as inserted
    ),
    notified as materialized (
      select pg_notify('workos_events', json_build_object(
        'environment', ${environment}::text, 'count', count(*), 'cursor', ${cursor ?? null}::text
      )::text)
      from written
      having count(*) > 0
    )
    select event, inserted, count(*)::int as count
    from written
    where exists (select from notified)
    group by event, inserted`);
  const inserted = written.rows.filter((row) => row.inserted).map((row) => [row.event, row.count] as const);
  const updated = written.rows.filter((row) => !row.inserted).reduce((sum, row) => sum + row.count, 0);
  return { inserted: new Map(inserted), updated };
}

/** The events as rows. Their JSON text goes to Postgres as it came; json, other than jsonb, changes nothing in it. */
export function recordsOf(events: readonly MirroredEvent[]): SQL {
  const rows = events.map(
    ({ id, event, createdAt, data, context, extra }) =>
      `{"id":${JSON.stringify(id)},"event":${JSON.stringify(event)},"created_at":"${createdAt}",` +
      `"data":${data},"context":${context ?? "null"},"extra":${extra ?? "null"}}`,
  );
  return sql`rows from (json_to_recordset(${`[${rows.join(",")}]`}::json) as (
    id text, event text, created_at timestamptz, data jsonb, context jsonb, extra jsonb
  ))`;
}

/** Null instead of a text that is too long for an index row; the whole of it is still in `data`. */
function indexable(text: SQL): SQL {
  return sql`case when length(${text}) <= 255 then ${text} end`;
}

function sameContent(a: string, b: string): SQL {
  const columns = "event created_at organization_id object_id data context environment extra".split(" ");
  const row = (table: string) => sql.raw(`row(${columns.map((column) => `${table}.${column}`).join(", ")})`);
  return sql`${row(a)} is not distinct from ${row(b)}`;
}
