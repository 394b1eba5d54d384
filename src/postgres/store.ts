import { createHash } from "node:crypto";
import { type SQL, sql } from "drizzle-orm";
import type pg from "pg";
import type {
  CursorKey,
  EventPage,
  Gap,
  MirroredEvent,
  Move,
  QuarantinedEvent,
  Save,
  SavedPages,
  Store,
} from "../event.ts";
import { textArray } from "./binary-array.ts";
import { withConnection } from "./connect.ts";
import { forgetHistory, instantText, moveCursor, readCursors, recordGaps, splitCursor } from "./cursors.ts";
import { isDataRefused } from "./errors.ts";
import { makeStorable } from "./storable.ts";
import { inTransaction, type Row } from "./transaction.ts";
import { upsertEvents } from "./upsert.ts";

/** The one door to the tables. Everything that goes wrong comes out as a Trouble. */
export function createStore(pool: pg.Pool): Store {
  return {
    readCursors: (key) => readCursors(pool, key),

    savePages: (key, saves) =>
      savingAll(pool, saves, ({ pages, move }) => writing(key.environment, pages, { key, ...move })),

    splitCursor: async (key, cursor, at) => {
      const [rows] = await inTransaction(pool, [splitCursor(key, cursor, at)]);
      return rows?.length === 1;
    },

    forgetHistory: async (key) => void (await inTransaction(pool, [forgetHistory(key)])),

    saveEvents: async (environment, page) => {
      const [saved] = await savingAll(pool, [{ pages: [page] }], ({ pages }) => writing(environment, pages));
      if (saved === undefined) throw new Error("a statement without an answer");
      const { moved: _, gaps: __, ...events } = saved;
      return events;
    },
  };
}

type Unsaved = Pick<Save, "pages"> & Partial<Save>;

/**
 * One transaction that saves all of it, a statement for each. When Postgres refuses some of the data, once more with
 * those events made readable and quarantined.
 */
async function savingAll<S extends Unsaved>(
  pool: pg.Pool,
  saves: readonly S[],
  statementOf: (save: S) => SQL,
): Promise<SavedPages[]> {
  const write = async (storable: readonly S[]) => {
    const answers = await inTransaction(pool, storable.map(statementOf));
    return answers.map(([row]) => savedOf(row ?? {}));
  };
  return write(saves).catch(async (error: unknown) => {
    if (!isDataRefused(error)) throw error;
    return write(await Promise.all(saves.map((save) => readable(pool, save))));
  });
}

async function readable<S extends Unsaved>(pool: pg.Pool, save: S): Promise<S> {
  const pages = await withConnection(pool, async (database) => {
    const storable: EventPage[] = [];
    for (const page of save.pages) storable.push(await makeStorable(database, page));
    return storable;
  });
  return { ...save, pages };
}

type KeyedMove = Move & { key: CursorKey };

/**
 * One statement that moves the cursor and, if it was where it was thought to be, writes everything else. Its only row
 * tells what came of it.
 */
function writing(environment: string, pages: readonly EventPage[], move?: KeyedMove): SQL {
  const events = distinct(pages.flatMap((page) => page.events));
  const quarantined = pages.flatMap((page) => page.quarantined.map((event) => ({ event, page })));
  const condition = move === undefined ? sql`true` : sql`exists (select from moved)`;
  const parts: SQL[] = [];
  const answers: SQL[] = [];
  if (move !== undefined) {
    parts.push(sql`moved as (${moveCursor(move.key, move)})`);
    answers.push(sql`(select count(*)::int from moved) as moved`);
  }
  if (events.length > 0) {
    parts.push(upsertEvents(environment, events, condition), notified(environment, move));
    answers.push(WRITTEN, sql`(select count(*) from notified)`);
  }
  if (quarantined.length > 0) {
    parts.push(quarantine(environment, quarantined, condition));
    answers.push(sql`(select count(*)::int from quarantined) as quarantined`);
  }
  if (move?.gaps !== undefined && move.gaps.length > 0) {
    parts.push(recordGaps(move.key, move.gaps, condition));
    answers.push(RECORDED);
  }
  if (parts.length === 0) return sql`select`;
  return sql`with ${sql.join(parts, sql`, `)} select ${sql.join(answers, sql`, `)}`;
}

/** A page that overlaps with the one before brings some events again; the later text counts. */
function distinct(events: readonly MirroredEvent[]): MirroredEvent[] {
  return [...new Map(events.map((event) => [event.id, event])).values()];
}

function notified(environment: string, move: Move | undefined): SQL {
  return sql`
    notified as materialized (
      select pg_notify('workos_events', json_build_object(
        'environment', ${environment}::text, 'count', count(*), 'cursor', ${move?.to.after ?? null}::text
      )::text)
      from written
      having count(*) > 0
    )`;
}

const WRITTEN = sql`
  (
    select json_object_agg(event, count)
    from (select event, count(*) from written where inserted group by event) as new
  ) as inserted,
  (select count(*)::int from written where not inserted) as updated`;

const RECORDED = sql`
  (
    select json_agg(json_build_object(
      'rangeStart', ${instantText("range_start")}, 'rangeEnd', ${instantText("range_end")}, 'reason', reason
    ) order by range_start)
    from recorded
  ) as gaps`;

interface Quarantined {
  event: QuarantinedEvent;
  page: EventPage;
}

/** One row for each text, however often it was met. */
function quarantine(environment: string, rows: readonly Quarantined[], condition: SQL): SQL {
  const column = (read: (row: Quarantined) => string | undefined) => sql`${textArray(rows.map(read))}::text[]`;
  return sql`
    quarantined as (
      insert into workos.quarantined_events
        (environment, digest, reason, event_id, event, raw, request, request_id)
      select ${environment}::text, digest, reason, event_id, event, raw, request, request_id
      from unnest(
        ${column(({ event }) => createHash("sha256").update(event.text).digest("hex"))},
        ${column(({ event }) => event.reason)},
        ${column(({ event }) => event.id)},
        ${column(({ event }) => event.event)},
        ${column(({ event }) => event.text)},
        ${column(({ page }) => page.request)},
        ${column(({ page }) => page.requestId)}
      ) as given (digest, reason, event_id, event, raw, request, request_id)
      where ${condition}
      on conflict do nothing
      returning digest
    )`;
}

interface Answer {
  /** 1 when the cursor was where it was thought to be. */
  moved?: number;
  /** By type. */
  inserted?: Record<string, number> | null;
  updated?: number;
  quarantined?: number;
  gaps?: Gap[] | null;
}

function savedOf({ moved, inserted, updated = 0, quarantined = 0, gaps }: Answer & Row): SavedPages {
  return {
    moved: moved === 1,
    inserted: new Map(Object.entries(inserted ?? {})),
    updated,
    quarantined,
    gaps: gaps ?? [],
  };
}
