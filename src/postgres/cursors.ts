import { type SQL, sql } from "drizzle-orm";
import type pg from "pg";
import { type Cursor, type CursorKey, filterKey, type Gap, type Move, type Position, samePosition } from "../event.ts";
import type { Instant } from "../instant.ts";
import { textArray } from "./binary-array.ts";
import { inOneStatement } from "./transaction.ts";

/** An instant of ours, with microseconds; null for an infinite one. */
export function instantText(column: string): SQL {
  return sql.raw(
    `case when isfinite(${column}) then to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') end`,
  );
}

function isOf({ environment, filter }: CursorKey): SQL {
  return sql`environment = ${environment} and filter = ${filterKey(filter)}`;
}

function isAt(key: CursorKey, rangeEnd: Instant | undefined, { after, at }: Position): SQL {
  return sql`${isOf(key)}
    and range_end = ${rangeEnd ?? "infinity"}
    and after is not distinct from ${after ?? null}
    and at = ${at}`;
}

type CursorRow = Record<"range_start" | "range_end" | "after", string | null> & Record<"at" | "started_at", Instant>;

export async function readCursors(pool: pg.Pool, key: CursorKey): Promise<Cursor[]> {
  const rows = await inOneStatement<CursorRow>(
    pool,
    sql`
      select
        ${instantText("range_start")} as range_start,
        ${instantText("cursors.range_end")} as range_end,
        after,
        ${instantText("at")} as at,
        ${instantText("started_at")} as started_at
      from workos.cursors
      where ${isOf(key)}
      order by cursors.range_end`,
  );
  return rows.map((row) => ({
    rangeStart: row.range_start ?? undefined,
    rangeEnd: row.range_end ?? undefined,
    position: { at: row.at, ...(row.after === null ? {} : { after: row.after }) },
    startedAt: row.started_at,
  }));
}

/**
 * Compare-and-set: only from the position that was read, so that a stale writer can't move it back or past unwritten
 * events. A row comes back when it was so.
 */
export function moveCursor(key: CursorKey, { rangeEnd, from, to }: Move): SQL {
  if (from === undefined) return beginCursor(key, to);
  if (samePosition(from, to)) return sql`select from workos.cursors where ${isAt(key, rangeEnd, from)}`;
  return sql`
    update workos.cursors
    set after = ${to.after ?? null}, at = ${to.at}, updated_at = now()
    where ${isAt(key, rangeEnd, from)}
    returning true`;
}

function beginCursor({ environment, filter }: CursorKey, to: Position): SQL {
  return sql`
    insert into workos.cursors (environment, filter, events, organization_id, after, at)
    values (
      ${environment},
      ${filterKey(filter)},
      ${eventsOf(filter)},
      ${filter.organizationId ?? null},
      ${to.after ?? null},
      ${to.at}
    )
    on conflict (environment, filter, range_end) do nothing
    returning true`;
}

function eventsOf({ events }: CursorKey["filter"]): SQL {
  const names = events === undefined ? null : JSON.stringify(events);
  return sql`(select array_agg(name order by name) from json_array_elements_text(${names}::json) as name)`;
}

/**
 * The range is cut at an instant ahead of its position: what comes before it keeps the position, in a row of its own;
 * what comes behind begins there. A row comes back when the position was still the same.
 */
export function splitCursor(key: CursorKey, { rangeStart, rangeEnd, position }: Cursor, at: Instant): SQL {
  return sql`
    with behind as (
      update workos.cursors
      set range_start = ${at}, after = null, at = ${at}, updated_at = now()
      where ${isAt(key, rangeEnd, position)}
      returning environment, filter, events, organization_id
    )
    insert into workos.cursors
      (environment, filter, events, organization_id, after, at, range_start, range_end)
    select environment, filter, events, organization_id,
      ${position.after ?? null}, ${position.at}::timestamptz, ${rangeStart ?? position.at}::timestamptz, ${at}::timestamptz
    from behind
    returning true`;
}

/**
 * Deletes the slices of history when all of them are done. A head that has seen nothing yet goes on from their last
 * event.
 */
export function forgetHistory(key: CursorKey): SQL {
  return sql`
    with history as (
      select after, at, range_end
      from workos.cursors
      where ${isOf(key)}
        and range_end < 'infinity'
    ),
    last as (
      select events.id, events.created_at
      from history
      join workos.events on events.id = history.after
      order by history.range_end desc
      limit 1
    ),
    adopted as (
      update workos.cursors
      set after = last.id, at = last.created_at, updated_at = now()
      from last
      where ${isOf(key)}
        and range_end = 'infinity'
        and after is null
        and not exists (select from history where at < range_end)
    )
    delete from workos.cursors
    where ${isOf(key)}
      and range_end < 'infinity'
      and not exists (select from history where at < range_end)`;
}

/** CTEs that record gaps: what earlier ones cover already is not recorded twice. `recorded` is what was left of them. */
export function recordGaps(key: CursorKey, gaps: readonly Gap[], condition: SQL): SQL {
  const column = (read: (gap: Gap) => string) => textArray(gaps.map(read));
  return sql`
    uncovered as (
      select reason, unnest(tstzmultirange(tstzrange(given.range_start, given.range_end)) - covered.ranges) as range
      from unnest(
        ${column(({ rangeStart }) => rangeStart)}::text[]::timestamptz[],
        ${column(({ rangeEnd }) => rangeEnd)}::text[]::timestamptz[],
        ${column(({ reason }) => reason)}::text[]
      ) as given (range_start, range_end, reason)
      cross join (
        select coalesce(range_agg(tstzrange(range_start, range_end)), '{}') as ranges
        from workos.gaps
        where ${isOf(key)}
      ) as covered
    ),
    recorded as (
      insert into workos.gaps (environment, filter, range_start, range_end, reason)
      select ${key.environment}, ${filterKey(key.filter)}, lower(range), upper(range), reason
      from uncovered
      where ${condition}
      returning range_start, range_end, reason
    )`;
}
