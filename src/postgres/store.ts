import { createHash } from "node:crypto";
import { and, eq, sql } from "drizzle-orm";
import type pg from "pg";
import {
  type CursorKey,
  type EventPage,
  filterKey,
  type Gap,
  type Move,
  type Position,
  type SavedEvents,
  type Store,
  samePosition,
} from "../event.ts";
import type { Instant } from "../instant.ts";
import { type Database, inTransaction, withConnection } from "./connect.ts";
import { isDataRefused } from "./errors.ts";
import { cursors, quarantinedEvents } from "./schema.ts";
import { makeStorable } from "./storable.ts";
import { upsertEvents } from "./upsert.ts";

/**
 * Every writer of workos.events holds the lock until its commit: so `seq` grows in the order of commits. A writer that
 * is frozen in the middle loses it, and its transaction, after ten seconds.
 */
const SEQ_LOCK = sql.raw(
  "set local idle_in_transaction_session_timeout = '10s'; select pg_advisory_xact_lock(5276001002)",
);

/** The one door to the tables. Everything that goes wrong comes out as a Trouble. */
export function createStore(pool: pg.Pool): Store {
  return {
    readPosition: (key) => withConnection(pool, (database) => readPosition(database, key)),

    /** Writes a page and moves the cursor from where it was read, both or neither. */
    savePage: (key, page, move) =>
      savingAll(pool, page, async (database, storable) => {
        if (!(await moveCursor(database, key, move)))
          return { inserted: new Map(), updated: 0, quarantined: 0, moved: false };
        const gap = move.gap && (await recordGap(database, key, move.gap));
        const saved = await saveEvents(database, key.environment, storable, move.to);
        return { ...saved, moved: true, ...(gap === undefined ? {} : { gap }) };
      }),

    /** Writes a page without touching any cursor. */
    saveEvents: (environment, page) =>
      savingAll(pool, page, (database, storable) => saveEvents(database, environment, storable)),
  };
}

/**
 * One transaction that saves `page`. When Postgres refuses some of its data, once more with those events made readable
 * and quarantined.
 */
async function savingAll<T>(
  pool: pg.Pool,
  page: EventPage,
  save: (database: Database, page: EventPage) => Promise<T>,
): Promise<T> {
  const transaction = (storable: EventPage) =>
    inTransaction(pool, async (database) => {
      await database.execute(SEQ_LOCK);
      return save(database, storable);
    });
  return transaction(page).catch(async (error: unknown) => {
    if (!isDataRefused(error)) throw error;
    return transaction(await withConnection(pool, (database) => makeStorable(database, page)));
  });
}

const UTC_MICROSECONDS = sql.raw(`'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'`);

async function readPosition(database: Database, { environment, filter }: CursorKey): Promise<Position | undefined> {
  const [row] = await database
    .select({
      after: cursors.after,
      at: sql<Instant>`to_char(${cursors.at} at time zone 'UTC', ${UTC_MICROSECONDS})`,
    })
    .from(cursors)
    .where(and(eq(cursors.environment, environment), eq(cursors.filter, filterKey(filter))));
  return row && { at: row.at, ...(row.after === null ? {} : { after: row.after }) };
}

/** Compare-and-set: only from the position that was read. A stale writer can't move it back or past unwritten events. */
async function moveCursor(database: Database, { environment, filter }: CursorKey, move: Move): Promise<boolean> {
  const { from, to } = move;
  if (from !== undefined && samePosition(from, to)) return isStored(database, { environment, filter }, from);
  const events = filter.events === undefined ? null : JSON.stringify(filter.events);
  const result =
    from === undefined
      ? await database.execute(sql`
          insert into workos.cursors (environment, filter, events, organization_id, after, at)
          values (
            ${environment},
            ${filterKey(filter)},
            (select array_agg(name order by name) from json_array_elements_text(${events}::json) as name),
            ${filter.organizationId ?? null},
            ${to.after ?? null},
            ${to.at}
          )
          on conflict (environment, filter) do nothing`)
      : await database.execute(sql`
          update workos.cursors
          set after = ${to.after ?? null}, at = ${to.at}, updated_at = now()
          where environment = ${environment}
            and filter = ${filterKey(filter)}
            and after is not distinct from ${from.after ?? null}
            and at = ${from.at}`);
  return result.rowCount === 1;
}

async function isStored(database: Database, key: CursorKey, position: Position): Promise<boolean> {
  const stored = await readPosition(database, key);
  return stored !== undefined && samePosition(stored, position);
}

/** What earlier gaps cover already is not recorded twice. Answers from where to where something was left of it. */
async function recordGap(database: Database, { environment, filter }: CursorKey, gap: Gap): Promise<Gap | undefined> {
  const recorded = await database.execute<{ range_start: Instant; range_end: Instant }>(sql`
    with uncovered as (
      select unnest(
        tstzmultirange(tstzrange(${gap.rangeStart}, ${gap.rangeEnd}))
          - coalesce(range_agg(tstzrange(range_start, range_end)), '{}')
      ) as range
      from workos.gaps
      where environment = ${environment}
        and filter = ${filterKey(filter)}
    ),
    recorded as (
      insert into workos.gaps (environment, filter, range_start, range_end, reason)
      select ${environment}, ${filterKey(filter)}, lower(range), upper(range), ${gap.reason}
      from uncovered
      returning range_start, range_end
    )
    select
      to_char(min(range_start) at time zone 'UTC', ${UTC_MICROSECONDS}) as range_start,
      to_char(max(range_end) at time zone 'UTC', ${UTC_MICROSECONDS}) as range_end
    from recorded
    having count(*) > 0`);
  const [row] = recorded.rows;
  return row && { ...gap, rangeStart: row.range_start, rangeEnd: row.range_end };
}

async function saveEvents(
  database: Database,
  environment: string,
  page: EventPage,
  cursor?: Position,
): Promise<SavedEvents> {
  const saved = await upsertEvents(database, environment, page.events, cursor?.after);
  return { ...saved, quarantined: await quarantine(database, environment, page) };
}

/** Answers how many were not in quarantine before. */
async function quarantine(database: Database, environment: string, page: EventPage): Promise<number> {
  if (page.quarantined.length === 0) return 0;
  const rows = page.quarantined.map(({ text, reason, id, event }) => ({
    environment,
    digest: createHash("sha256").update(text).digest("hex"),
    reason,
    eventId: id ?? null,
    event: event ?? null,
    raw: text,
    request: page.request,
    requestId: page.requestId ?? null,
  }));
  const stored = await database
    .insert(quarantinedEvents)
    .values(rows)
    .onConflictDoNothing()
    .returning({ digest: quarantinedEvents.digest });
  return stored.length;
}
