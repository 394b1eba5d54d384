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
  /** Whether what lies between that and the first page was looked at. */
  gapChecked: boolean;
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
      gapChecked: false,
    });
  }

  /** Reads a range once more, beside the rest. */
  sweep(from: Instant, until: Instant): void {
    this.hadOthers = true;
    this.sweeps = until;
    this.#add("sweep", { at: from }, until);
  }

  /** What the head has stored; undefined when it has nothing yet. */
  get storedHead(): Position | undefined {
    return this.#tracks.get(this.#head)?.stored;
  }

  /** Everything up to here is stored. */
  get position(): Position {
    const positions = [...this.#tracks].map(([slice, { stored }]) => stored ?? slice.walk.position);
    const unfinished = [...this.#tracks]
      .filter(([slice, { stored }]) => slice === this.#head || !isDone(slice, stored))
      .map(([slice, { stored }]) => stored ?? slice.walk.position);
    return (unfinished.length > 0 ? unfinished : positions).reduce((a, b) => (b.at < a.at ? b : a));
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
    const { rangeStart, startedAt, stored: position } = track;
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
      gapChecked: false,
    });
    track.rangeStart ??= track.stored.at;
    if (!isHead) return;
    track.rangeStart = track.stored.at;
    track.startedAt = now;
    this.#head = behind;
    this.hadOthers = true;
  }

  /** What is to be saved of the pages of one slice; undefined when that is nothing. */
  saveOf(slice: Slice, pages: readonly ReadPage[], passed: (apiTime: Instant) => Instant): Save | undefined {
    const track = this.#tracks.get(slice);
    const last = pages.at(-1);
    if (track === undefined || last === undefined) return undefined;
    const edge = retentionEdge(passed(last.page.apiTime));
    const to = endOf(slice, last);
    const isNews =
      pages.some(({ page }) => page.received > 0) ||
      slice.walk.until !== undefined ||
      (to.at >= edge && (track.stored === undefined || !samePosition(track.stored, to)));
    if (!isNews) return undefined;
    const gap = track.gapChecked ? unreadableOf(slice) : this.#gapOf(slice, track, pages, edge);
    track.gapChecked = true;
    const move = { rangeEnd: slice.walk.until, from: track.stored, to, ...(gap === undefined ? {} : { gap }) };
    return { pages: pages.map(({ page }) => page), move };
  }

  stored(slice: Slice, to: Position): void {
    const track = this.#tracks.get(slice);
    if (track !== undefined) track.stored = to;
  }

  /** The slice had to leave something out: what that is was not looked at when it began. */
  leftOut(slice: Slice, from: Instant): void {
    const track = this.#tracks.get(slice);
    if (!track?.gapChecked) return;
    track.readUpTo = from;
    track.gapChecked = false;
  }

  #addHistory(cursor: Cursor): void {
    this.hadOthers = true;
    const { position, rangeEnd, rangeStart, startedAt } = cursor;
    const slice = this.#add("history", position, rangeEnd);
    slice.hasEnded = isDone(slice, position);
    this.#tracks.set(slice, { rangeStart, startedAt, stored: position, readUpTo: position.at, gapChecked: false });
  }

  #add(purpose: Slice["purpose"], from: Position, until: Instant | undefined): Slice {
    const slice = new Slice(purpose, new Walk({ ...this.#walking, from, until }));
    this.reading.add(slice);
    return slice;
  }

  /** The range that was to be read, but lies before what the API still has: `edge`, or where it let the walk begin. */
  #gapOf({ walk }: Slice, { readUpTo }: Track, pages: readonly ReadPage[], edge: Instant): Gap | undefined {
    const refused = walk.resumedAt !== undefined && walk.resumedAt >= edge;
    const oldest = pages[0]?.page.events[0]?.createdAt ?? edge;
    const oldestRead = refused ? laterOf(edge, walk.resumedAt ?? edge) : earlierOf(edge, oldest);
    const rangeEnd = earlierOf(oldestRead, walk.until ?? oldestRead);
    if (readUpTo >= rangeEnd) return undefined;
    const reason = refused ? "the API refuses to start earlier" : "older than the 90 days that the API keeps";
    return { rangeStart: readUpTo, rangeEnd, reason };
  }
}

function unreadableOf({ walk }: Slice): Gap | undefined {
  const { unreadable } = walk;
  walk.unreadable = undefined;
  return unreadable && { ...unreadable, reason: "the API lists no more of this instant's events than one page" };
}

/** A slice that has come to its end is done up to there, wherever its last event was. */
function endOf({ walk: { until } }: Slice, { to, lead }: ReadPage): Position {
  return until !== undefined && (lead === "end" || to.at >= until) ? { ...to, at: until } : to;
}

function isDone({ walk: { until } }: Slice, stored: Position | undefined): boolean {
  return until !== undefined && stored !== undefined && stored.at >= until;
}
