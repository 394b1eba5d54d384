import { type SQL, sql } from "drizzle-orm";
import type { MirroredEvent } from "../event.ts";
import { textArray } from "./binary-array.ts";

/**
 * The part of a statement that writes events, as CTEs: `page` are the events, `written` the rows that were inserted or
 * updated. `condition` says whether anything is written at all.
 *
 * A row that is the same already is left out before the insert: merely meeting it in ON CONFLICT would lock it, which
 * writes to the table and to the WAL, and would use up a `seq`. It is looked for by a subquery, since a join may read the
 * whole table instead of its index.
 */
export function upsertEvents(environment: string, events: readonly MirroredEvent[], condition: SQL): SQL {
  return sql`
    page as (
      ${rowsOf(environment, events)}
      where ${condition}
    ),
    written as (
      insert into workos.events
        (id, event, created_at, organization_id, object_id, data, context, environment, extra)
      select id, event, created_at, organization_id, object_id, data, context, environment, extra
      from page
      where (select ${sameContent("stored", "page")} from workos.events as stored where stored.id = page.id) is not true
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
    )`;
}

/** A query of the rows that these events are to be in workos.events; a `where` may follow it. */
export function rowsOf(environment: string, events: readonly MirroredEvent[]): SQL {
  return sql`
      select
        id, event, created_at,
        ${indexable(sql`case when starts_with(event, 'organization.') then data ->> 'id' else data ->> 'organization_id' end`)} as organization_id,
        ${indexable(sql`data ->> 'id'`)} as object_id,
        data, context, ${environment}::text as environment, extra, ordinality
      from ${recordsOf(events)}`;
}

/**
 * The events as records. Their JSON text is parsed row by row, each in memory that the next one uses again; a parameter
 * of the type jsonb[] is parsed as a whole, in many times its size. `offset 0` keeps the planner from parsing once more
 * wherever a column is named.
 */
export function recordsOf(events: readonly MirroredEvent[]): SQL {
  return sql`
      (
        select
          id, event, created_at::timestamptz, data::jsonb, context::jsonb, extra::jsonb, ordinality
        from unnest(
          ${textArray(events.map(({ id }) => id))}::text[],
          ${textArray(events.map(({ event }) => event))}::text[],
          ${textArray(events.map(({ createdAt }) => createdAt))}::text[],
          ${textArray(events.map(({ data }) => data))}::text[],
          ${textArray(events.map(({ context }) => (context === "null" ? undefined : context)))}::text[],
          ${textArray(events.map(({ extra }) => extra))}::text[]
        ) with ordinality as given (id, event, created_at, data, context, extra, ordinality)
        offset 0
      ) as record`;
}

/** Null instead of a text that is too long for an index row; the whole of it is still in `data`. */
function indexable(text: SQL): SQL {
  return sql`case when length(${text}) <= 255 then ${text} end`;
}

/** Of a row, all that tells of its event. */
const CONTENT = "event created_at organization_id object_id data context environment extra".split(" ");

/** Whether two rows hold the same event, whatever their `seq` and `mirrored_at` are. */
export function sameContent(a: string, b: string): SQL {
  const row = (table: string) => sql.raw(`row(${CONTENT.map((column) => `${table}.${column}`).join(", ")})`);
  return sql`${row(a)} is not distinct from ${row(b)}`;
}
