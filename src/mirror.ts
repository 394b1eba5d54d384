import {
  type CursorKey,
  type EventPage,
  type FetchPage,
  type Gap,
  type Position,
  type SavedPage,
  type Store,
  samePosition,
} from "./event.ts";
import type { EffectiveFilter } from "./filter.ts";
import { addMs, type Instant, instantOf, laterOf, msOf } from "./instant.ts";
import {
  endsBefore,
  nextWindow,
  oldestStart,
  positionBehind,
  requestFrom,
  retentionEdge,
  withoutCursor,
} from "./position.ts";
import { Trouble } from "./trouble.ts";

export interface MirrorParts {
  environment: string;
  filter: EffectiveFilter;
  fetchPage: FetchPage;
  store: Pick<Store, "readPosition" | "savePage">;
  /** Where a mirror without a cursor begins, given the API's present. */
  startAt: (now: Instant) => Instant;
}

/** Something that an operator may want to know, though the mirror got around it. */
export interface News {
  level: "info" | "warn" | "error";
  code: string;
  message: string;
  fields?: Record<string, unknown>;
}

export interface Step {
  /** There is nothing newer to be had now: time to rest. */
  atHead: boolean;
  /** How far the mirror has read. */
  position: Position;
  saved?: SavedPage;
  requestId?: string | undefined;
  news: readonly News[];
}

/** From where to where the mirror is reading now; lives until the head is reached or something goes wrong. */
interface Walk {
  key: CursorKey;
  /** What workos.cursors holds. */
  stored: Position | undefined;
  /** What is asked for next. */
  position: Position;
  /** Everything before this instant was read, or was never wanted. */
  readUpTo: Instant;
  /** Set when the API refused to start any earlier. */
  resumedAt?: Instant;
  /** Set when the API had nothing behind a position of this time, and that is being asked again. */
  doubtedAt?: Instant;
  /** Set when the API refused a cursor of this time: the next one has to be later, or nothing is won. */
  rejectedAt?: Instant;
}

/** A page that is asked for while the one before it is being written. */
interface Prefetch {
  page: Promise<EventPage>;
  abort: AbortController;
}

/** The time that may pass between choosing a start and reading there is not reported as a gap. */
const START_TOLERANCE_MS = 3_600_000;
/** A start that was chosen by a clock further off than this is chosen anew. */
const SKEW_TOLERANCE_MS = 5_000;

/**
 * WHAT the mirror does: one step reads one page and saves it together with the position behind it. Every error leaves
 * the cursor where it is, and the next step reads it again.
 */
export class Mirror {
  readonly #parts: MirrorParts;
  #walk: Walk | undefined;
  #prefetch: Prefetch | undefined;
  /** How far the API's clock is ahead of ours. */
  #skewMs = 0;

  constructor(parts: MirrorParts) {
    this.#parts = parts;
  }

  async step(signal: AbortSignal): Promise<Step> {
    const news = this.#accepted();
    const walk = this.#walk ?? (await this.#begin());
    try {
      const page = await (this.#takePrefetch() ?? this.#fetch(walk, signal));
      const step = await this.#take(walk, page, signal);
      return { ...step, news: [...news, ...step.news] };
    } catch (error) {
      this.reset();
      if (!(error instanceof Trouble) || signal.aborted) throw error;
      if (error.apiTime !== undefined && this.#startedByAWrongClock(walk, error.apiTime)) return this.#startAgain(walk);
      const way = await this.#wayAround(error, walk, signal);
      if (way === undefined) throw error;
      return { atHead: false, position: walk.position, news: [...news, way] };
    }
  }

  /** Forgets everything that is not in the database, and gives up the page that is being asked for. */
  reset(): void {
    this.#prefetch?.abort.abort(new Error("the page is not needed any more"));
    this.#prefetch = undefined;
    this.#walk = undefined;
  }

  async #begin(): Promise<Walk> {
    const { environment, filter, store, startAt } = this.#parts;
    filter.tryAgain(Date.now());
    const key = { environment, filter: filter.current };
    const stored = await store.readPosition(key);
    const position = stored ?? { at: startAt(this.#now()) };
    const readUpTo = stored === undefined ? addMs(position.at, START_TOLERANCE_MS) : stored.at;
    return { key, stored, position, readUpTo };
  }

  #fetch(walk: Walk, signal: AbortSignal): Promise<EventPage> {
    return this.#parts.fetchPage(requestFrom(walk.position, walk.key.filter, this.#now()), signal);
  }

  /** Saves the page, with the next one already on its way. */
  async #take(walk: Walk, page: EventPage, signal: AbortSignal): Promise<Step> {
    if (this.#startedByAWrongClock(walk, page.apiTime)) return this.#startAgain(walk);

    requireProgress(page, walk.position);
    const behind = positionBehind(page, walk.position);
    const ahead = behind ?? nextWindow(doubtedPosition(walk), page.apiTime);
    if (behind === undefined && ahead !== undefined && !isConfirmed(walk)) return this.#askAgain(walk);
    const next: Walk = { ...walk, position: ahead ?? walk.position };
    if (behind !== undefined) this.#startPrefetch(next, signal);
    const saved = await this.#save(walk, page, next.position);
    if (saved?.moved === false) return this.#yieldToOtherWriter(walk);

    this.#walk = ahead && { ...next, stored: ahead, readUpTo: laterOf(walk.readUpTo, ahead.at) };
    const step = { atHead: ahead === undefined, position: next.position, requestId: page.requestId };
    if (saved === undefined) return { ...step, news: [] };
    const skipped = behind === undefined && ahead !== undefined ? [newsOfWindow(walk, ahead)] : [];
    return { ...step, saved, news: [...skipped, ...newsOf(saved, walk.key)] };
  }

  /** Undefined when there is nothing to write. */
  async #save(walk: Walk, page: EventPage, to: Position): Promise<SavedPage | undefined> {
    if (page.received === 0 && walk.stored !== undefined && samePosition(walk.stored, to)) return undefined;
    const gap = gapOf(walk, page);
    return this.#parts.store.savePage(walk.key, page, {
      from: walk.stored,
      to,
      ...(gap === undefined ? {} : { gap }),
    });
  }

  #startPrefetch(next: Walk, signal: AbortSignal): void {
    const abort = new AbortController();
    const page = this.#fetch(next, AbortSignal.any([signal, abort.signal]));
    page.catch(() => undefined); // told when it is taken; given up, nobody wants to know
    this.#prefetch = { page, abort };
  }

  #takePrefetch(): Promise<EventPage> | undefined {
    const page = this.#prefetch?.page;
    this.#prefetch = undefined;
    return page;
  }

  /**
   * Moving on by a window skips everything in it, for ever. So an empty answer to an old position is believed only when
   * a second one, not from the cursor but by time, says the same.
   */
  #askAgain(walk: Walk): Step {
    const { position } = walk;
    const byTime = position.after === undefined ? position : withoutCursor(position);
    this.#walk = { ...walk, position: byTime, doubtedAt: position.at };
    return { atHead: false, position, news: [] };
  }

  /** Learns the API's clock, and tells whether the walk was started by one that was too far off. */
  #startedByAWrongClock(walk: Walk, apiTime: Instant): boolean {
    const before = this.#skewMs;
    this.#skewMs = msOf(apiTime) - Date.now();
    return walk.stored === undefined && Math.abs(this.#skewMs - before) > SKEW_TOLERANCE_MS;
  }

  #startAgain(walk: Walk): Step {
    this.reset();
    const message = "this machine's clock differs from the API's: going by the API's";
    const fields = { skewSeconds: Math.round(this.#skewMs / 1000) };
    const news: News = { level: "warn", code: "clock_differs", message, fields };
    return { atHead: false, position: walk.position, news: [news] };
  }

  #yieldToOtherWriter(walk: Walk): Step {
    this.reset();
    const message = "another writer moved the cursor: nothing of this page was written, reading the cursor again";
    return { atHead: false, position: walk.position, news: [{ level: "info", code: "cursor_moved", message }] };
  }

  #accepted(): News[] {
    const change = this.#parts.filter.accepted();
    return change === undefined ? [] : [{ level: "info", ...change, fields: { types: change.types } }];
  }

  /** What the API refuses, but need not stop the mirror. Undefined when there is no way around. */
  async #wayAround(trouble: Trouble, walk: Walk, signal: AbortSignal): Promise<News | undefined> {
    const change = this.#parts.filter.adapt(trouble, Date.now());
    if (change !== undefined) return { level: "warn", ...change, fields: { types: change.types } };
    if (trouble.code === "cursor_rejected") return this.#goOnWithoutCursor(trouble, walk);
    if (trouble.code === "range_start_rejected") return this.#goOnFromTheOldest(walk, signal);
    return undefined;
  }

  #goOnWithoutCursor(trouble: Trouble, walk: Walk): News | undefined {
    const { after, at } = walk.position;
    if (after === undefined || (walk.rejectedAt !== undefined && at <= walk.rejectedAt)) return undefined;
    const position = withoutCursor(walk.position);
    this.#walk = { ...walk, position, rejectedAt: at };
    const message = "the API no longer knows the cursor: going on by time, a little earlier";
    const fields = { cursor: after, from: position.at, reason: trouble.message, requestId: trouble.requestId };
    return { level: "warn", code: "cursor_rejected", message, fields };
  }

  async #goOnFromTheOldest(walk: Walk, signal: AbortSignal): Promise<News | undefined> {
    const accepts = async (start: Instant): Promise<boolean> => {
      const position = { at: start };
      return this.#fetch({ ...walk, position }, signal).then(
        () => true,
        (error: unknown) => {
          if (error instanceof Trouble && error.code === "range_start_rejected") return false;
          throw error;
        },
      );
    };
    const at = await oldestStart(walk.position.at, this.#now(), accepts);
    if (at === undefined) return undefined;
    this.#walk = { ...walk, position: { at }, resumedAt: at };
    const message = "the API refuses to go that far back: going on from the oldest that it gives";
    return { level: "warn", code: "range_start_rejected", message, fields: { asked: walk.position.at, from: at } };
  }

  #now(): Instant {
    return instantOf(Date.now() + this.#skewMs);
  }
}

/** A page has to lead on from where it began; one that does not is not written. */
function requireProgress(page: EventPage, position: Position): void {
  if (endsBefore(page, position)) {
    throw new Trouble("GET /events answered with events from before the cursor", {
      kind: "passing",
      code: "cursor_rejected",
    });
  }
  const stuck = page.received > 0 && (page.end === undefined ? page.full : page.end.after === position.after);
  if (!stuck) return;
  throw new Trouble("GET /events: the answer does not lead beyond the cursor", {
    kind: "passing",
    code: "page_without_progress",
    hint: "nothing of this page was stored; the page is asked for again",
  });
}

function isConfirmed({ position, doubtedAt }: Walk): boolean {
  return doubtedAt !== undefined && position.at <= doubtedAt;
}

/** Where the walk had come to before it asked again. */
function doubtedPosition(walk: Walk): Position {
  return isConfirmed(walk) ? { at: laterOf(walk.position.at, walk.doubtedAt ?? walk.position.at) } : walk.position;
}

/** The range that was to be read, but lies before what the API still has. */
function gapOf(walk: Walk, page: EventPage): Gap | undefined {
  const edge = retentionEdge(page.apiTime);
  const readAgainFrom = laterOf(edge, walk.resumedAt ?? edge);
  if (walk.readUpTo >= readAgainFrom) return undefined;
  const refused = walk.resumedAt !== undefined && walk.resumedAt >= edge;
  const reason = refused ? "the API refuses to start earlier" : "older than the 90 days that the API keeps";
  return { rangeStart: walk.readUpTo, rangeEnd: readAgainFrom, reason };
}

function newsOfWindow(walk: Walk, ahead: Position): News {
  const message = "the API has nothing in this window: going on behind it";
  const fields = { from: doubtedPosition(walk).at, to: ahead.at };
  return { level: "info", code: "window_empty", message, fields };
}

function newsOf(saved: SavedPage, key: CursorKey): News[] {
  const news: News[] = [];
  if (saved.gap !== undefined) {
    const message = "events of this range can't be had from the API any more: recorded in workos.gaps";
    news.push({ level: "error", code: "gap", message, fields: { ...saved.gap } });
  }
  if (saved.quarantined > 0) {
    const message = "events that are not valid, or that jsonb can't hold: kept in workos.quarantined_events";
    const fields = { environment: key.environment, count: saved.quarantined };
    news.push({ level: "warn", code: "quarantined", message, fields });
  }
  return news;
}
