import type { ApiClock } from "./api-clock.ts";
import { type Cursor, type CursorKey, type Gap, type Position, type Save, samePosition } from "./event.ts";
import { type HistoryProgress, progressOf } from "./history.ts";
import { addMs, earlierOf, type Instant, laterOf } from "./instant.ts";
import { retentionEdge } from "./position.ts";
import { Reading, type ReadingOptions } from "./reading.ts";
import { type ReadPage, Slice } from "./slice.ts";
import { Walk, type WalkOptions } from "./walk.ts";

/** A slice as far as the database is concerned. */
interface Track {
  rangeStart: Instant | undefined;
  startedAt: Instant;
  /** What workos.cursors holds; undefined: no row yet. */
  stored: Position | undefined;
  /** Everything before this instant was read, or was never wanted. */
  readUpTo: Instant;
}

/** The time that may go by between choosing a start and reading there is not reported as a gap. */
const START_TOLERANCE_MS = 3_600_000;

/** From the stored cursors to the head: the slices that are read, and what is stored of each. */
export class Pass {
  readonly key: CursorKey;
  readonly reading: Reading;
  /** The head was reached at least once. */
  headReached = false;
  /** There is or was something to read beside the head. */
  hadOthers = false;
  /** Up to here, the recent past is read once more. */
  sweeps: Instant | undefined;
  readonly #walking: Omit<WalkOptions, "from" | "until">;
  readonly #tracks = new Map<Slice, Track>();
  #head: Slice;

  constructor(
    key: CursorKey,
    cursors: readonly Cursor[],
    begin: { at: Instant; now: Instant },
    walking: Pick<WalkOptions, "fetchPage" | "clock">,
    reading: ReadingOptions,
  ) {
    this.key = key;
    this.reading = new Reading(reading);
    this.#walking = { ...walking, filter: key.filter };
    for (const cursor of cursors) if (cursor.rangeEnd !== undefined) this.#addHistory(cursor);
    const head = cursors.find(({ rangeEnd }) => rangeEnd === undefined);
    this.#head = this.#add("head", head?.position ?? { at: begin.at }, undefined);
    this.#tracks.set(this.#head, {
      rangeStart: head?.rangeStart,
      startedAt: head?.startedAt ?? begin.now,
      stored: head?.position,
      readUpTo: head?.position.at ?? addMs(begin.at, START_TOLERANCE_MS),
    });
  }

  /** Reads a range once more, beside the rest. */
  sweep(from: Instant, until: Instant): void {
    this.hadOthers = true;
    this.sweeps = until;
    this.#add("sweep", { at: from }, until);
  }

  /** Where the head was when it was last alone; undefined when it has stored nothing yet. */
  get headBeganAt(): Instant | undefined {
    const track = this.#tracks.get(this.#head);
    return this.isHistoryDone ? track?.stored?.at : (track?.rangeStart ?? track?.stored?.at);
  }

  /** What the head has stored; undefined when it has nothing yet. */
  get storedHead(): Position | undefined {
    return this.#tracks.get(this.#head)?.stored;
  }

  /** Everything up to here is stored. */
  get position(): Position {
    return [...this.#tracks]
      .filter(([slice, { stored }]) => slice === this.#head || !isDone(slice, stored))
      .map(([slice, { stored }]) => stored ?? slice.walk.position)
      .reduce((a, b) => (b.at < a.at ? b : a));
  }

  get isHistoryDone(): boolean {
    return [...this.#tracks].every(([slice, { stored }]) => slice === this.#head || isDone(slice, stored));
  }

  /** Undefined when there is no history beside the head. */
  progress(now: Instant): HistoryProgress | undefined {
    const ranges = [...this.#tracks].flatMap(([slice, { rangeStart, stored, startedAt }]) => {
      const rangeEnd = slice.walk.until;
      if (rangeEnd === undefined || rangeStart === undefined || stored === undefined) return [];
      return [{ rangeStart, rangeEnd, at: stored.at, startedAt }];
    });
    return progressOf(ranges, now);
  }

  /** Where one more slice would be of use, as a cut through a stored cursor. */
  cut(now: Instant): { slice: Slice; cursor: Cursor; at: Instant } | undefined {
    const cut = this.reading.cut(now);
    const track = cut && this.#tracks.get(cut.slice);
    if (cut === undefined || track?.stored === undefined) return undefined;
    const { startedAt, stored: position } = track;
    // what is cut off the head is history from here on, wherever the head once began
    const rangeStart = cut.slice === this.#head ? undefined : track.rangeStart;
    return { ...cut, cursor: { rangeStart, startedAt, position, rangeEnd: cut.slice.walk.until } };
  }

  /** The cut was stored. */
  split(slice: Slice, at: Instant, now: Instant): void {
    const track = this.#tracks.get(slice);
    if (track?.stored === undefined) return;
    const isHead = slice === this.#head;
    const behind = this.reading.split(slice, at, this.#walking);
    this.#tracks.set(behind, {
      rangeStart: at,
      startedAt: track.startedAt,
      stored: { at },
      readUpTo: at,
    });
    if (!isHead) return;
    track.rangeStart = track.stored.at;
    track.startedAt = now;
    this.#head = behind;
    this.hadOthers = true;
  }

  /** What is to be saved of the pages of one slice; undefined when that is nothing. */
  saveOf(slice: Slice, pages: readonly ReadPage[], clock: ApiClock): Save | undefined {
    const track = this.#tracks.get(slice);
    const last = pages.at(-1);
    if (track === undefined || last === undefined) return undefined;
    const edge = retentionEdge(clock.passed(last.page.apiTime));
    const to = endOf(slice, last);
    const isNews =
      pages.some(({ page }) => page.received > 0) ||
      slice.walk.until !== undefined ||
      (to.at >= edge && (track.stored === undefined || !samePosition(track.stored, to)));
    if (!isNews) return undefined;
    const move = { rangeEnd: slice.walk.until, from: track.stored, to, gaps: gapsOf(pages, track.readUpTo, clock) };
    return { pages: pages.map(({ page }) => page), move };
  }

  stored(slice: Slice, to: Position): void {
    const track = this.#tracks.get(slice);
    if (track === undefined) return;
    track.stored = to;
    track.readUpTo = laterOf(track.readUpTo, to.at);
  }

  #addHistory(cursor: Cursor): void {
    this.hadOthers = true;
    const { position, rangeEnd, rangeStart, startedAt } = cursor;
    const slice = this.#add("history", position, rangeEnd);
    slice.hasEnded = isDone(slice, position);
    this.#tracks.set(slice, { rangeStart, startedAt, stored: position, readUpTo: position.at });
  }

  #add(purpose: Slice["purpose"], from: Position, until: Instant | undefined): Slice {
    const slice = new Slice(purpose, new Walk({ ...this.#walking, from, until }));
    this.reading.add(slice);
    return slice;
  }
}

/**
 * What the pages of a slice leave out, where everything before `readUpTo` was read before them. A long trouble may come
 * between any two of them, and the API go on forgetting meanwhile.
 */
function gapsOf(pages: readonly ReadPage[], readUpTo: Instant, clock: ApiClock): Gap[] {
  let doneUpTo = readUpTo;
  return pages.flatMap((read) => {
    const from = doneUpTo;
    doneUpTo = laterOf(from, read.to.at);
    const { apiTime } = read.page;
    clock.requireAgreement(apiTime, (now) => forgottenBefore(read, from, now) !== undefined);
    return [forgottenBefore(read, from, clock.passed(apiTime)), read.unreadable].filter((gap) => gap !== undefined);
  });
}

/** The range that was to be read, but lies before what the API still has, or before where it let the walk begin. */
function forgottenBefore({ slice: { walk }, page }: ReadPage, from: Instant, now: Instant): Gap | undefined {
  const edge = retentionEdge(now);
  const refused = walk.resumedAt !== undefined && walk.resumedAt >= edge;
  const oldestRead = refused
    ? laterOf(edge, walk.resumedAt ?? edge)
    : earlierOf(edge, page.events[0]?.createdAt ?? edge);
  const rangeEnd = earlierOf(oldestRead, walk.until ?? oldestRead);
  if (from >= rangeEnd) return undefined;
  const reason = refused ? "the API refuses to start earlier" : "older than the 90 days that the API keeps";
  return { rangeStart: from, rangeEnd, reason };
}

/** A slice that has come to its end is done up to there, wherever its last event was. */
function endOf({ walk: { until } }: Slice, { to, lead }: ReadPage): Position {
  return until !== undefined && (lead === "end" || to.at >= until) ? { ...to, at: until } : to;
}

function isDone({ walk: { until } }: Slice, stored: Position | undefined): boolean {
  return until !== undefined && stored !== undefined && stored.at >= until;
}
