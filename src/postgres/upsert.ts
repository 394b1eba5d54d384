import { type SQL, sql } from "drizzle-orm";
import type { MirroredEvent } from "../event.ts";
import { textArray } from "./binary-array.ts";

/**
 * The part of a statement that writes events, as CTEs: `page` are the events, `written` the rows that were inserted or
 * updated. `condition` says whether anything is written at all. To be run under the lock of all writers: a row that
 * somebody inserts meanwhile without it is a unique violation, and the transaction has to be made again.
 *
 * Which rows are there already is asked first, once for all. ON CONFLICT would look for each again and confirm each
 * insert in the WAL, and merely to meet a row that is the same would lock it and use up a `seq`. They are looked for by
 * an array, since a join may read the whole table instead of its index.
 */
export function upsertEvents(environment: string, events: readonly MirroredEvent[], condition: SQL): SQL {
  return sql`
    page as (
      ${rowsOf(environment, events)}
      where ${condition}
    ),
    known as materialized (
      select id from workos.events where id = any(array(select id from page))
    ),
    inserted as (
      insert into workos.events
        (id, event, created_at, organization_id, object_id, data, context, environment, extra)
      select id, event, created_at, organization_id, object_id, data, context, environment, extra
      from page
      where id not in (select id from known)
      order by ordinality
      returning event
    ),
    updated as (
      update workos.events as stored
      set event = page.event,
          created_at = page.created_at,
          organization_id = page.organization_id,
          object_id = page.object_id,
          data = page.data,
          context = page.context,
          environment = page.environment,
          extra = page.extra
      from page
      where stored.id = any(array(select id from known)) and stored.id = page.id and not (${sameContent("stored", "page")})
      returning stored.event
    ),
    written as (
      select event, true as inserted from inserted
      union all
      select event, false from updated
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
