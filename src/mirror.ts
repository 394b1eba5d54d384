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
import { addMs, type Instant, laterOf } from "./instant.ts";
import type { News } from "./news.ts";
import { retentionEdge } from "./position.ts";
import { Trouble } from "./trouble.ts";
import { ApiClock, Walk } from "./walk.ts";

export interface MirrorParts {
  environment: string;
  filter: EffectiveFilter;
  fetchPage: FetchPage;
  store: Pick<Store, "readPosition" | "savePage">;
  /** Where a mirror without a cursor begins, given the API's present. */
  startAt: (now: Instant) => Instant;
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

/** A walk from the stored cursor to the head, as far as the database is concerned. */
interface Pass {
  walk: Walk;
  key: CursorKey;
  /** What workos.cursors holds. */
  stored: Position | undefined;
  /** Everything before this instant was read, or was never wanted. */
  readUpTo: Instant;
}

/** The time that may go by between choosing a start and reading there is not reported as a gap. */
const START_TOLERANCE_MS = 3_600_000;
/** A start that was chosen by a clock further off than this is chosen anew. */
const SKEW_TOLERANCE_MS = 5_000;

/**
 * WHAT the mirror does: one step reads one page and saves it together with the position behind it. Every error leaves
 * the cursor where it is, and the next step reads it again.
 */
export class Mirror {
  readonly #parts: MirrorParts;
  readonly #clock = new ApiClock();
  #pass: Pass | undefined;

  constructor(parts: MirrorParts) {
    this.#parts = parts;
  }

  async step(signal: AbortSignal): Promise<Step> {
    const pass = this.#pass ?? (await this.#begin());
    this.#pass = pass;
    try {
      return await this.#take(pass, await pass.walk.read(signal), signal);
    } catch (error) {
      this.reset();
      if (!(error instanceof Trouble) || signal.aborted) throw error;
      const way = await this.#wayAround(error, pass, signal);
      if (way === undefined) throw error;
      return { atHead: false, position: pass.walk.position, news: [way] };
    }
  }

  /** Forgets everything that is not in the database, and gives up the page that is being asked for. */
  reset(): void {
    this.#pass?.walk.stop();
    this.#pass = undefined;
  }

  async #begin(): Promise<Pass> {
    const { environment, filter, fetchPage, store, startAt } = this.#parts;
    filter.tryAgain(Date.now());
    const key = { environment, filter: filter.current };
    const stored = await store.readPosition(key);
    const from = stored ?? { at: startAt(this.#clock.now()) };
    const readUpTo = stored === undefined ? addMs(from.at, START_TOLERANCE_MS) : stored.at;
    return { walk: new Walk({ filter: key.filter, fetchPage, clock: this.#clock, from }), key, stored, readUpTo };
  }

  /** Saves the page, with the next one already on its way. */
  async #take(pass: Pass, page: EventPage, signal: AbortSignal): Promise<Step> {
    if (this.#startedByAWrongClock(pass, page.apiTime)) return this.#startAgain(pass);
    const news = this.#newsOfFilter();
    const { walk, key } = pass;
    const from = walk.position;
    const lead = walk.follow(page);
    if (lead === "ask again") return { atHead: false, position: from, news };
    if (page.end !== undefined) walk.prefetch(signal);
    const saved = await this.#save(pass, page, walk.position);
    if (saved?.moved === false) return this.#yieldToOtherWriter(from);

    const step = { atHead: lead === "end", position: walk.position, requestId: page.requestId };
    if (lead === "end") this.reset();
    pass.stored = walk.position;
    pass.readUpTo = laterOf(pass.readUpTo, walk.position.at);
    if (saved === undefined) return { ...step, news };
    if (lead !== "end" && page.received === 0) news.push(newsOfWindow(from, lead.to));
    return { ...step, saved, news: [...news, ...newsOf(saved, key)] };
  }

  /** Undefined when there is nothing to write. */
  async #save({ walk, key, stored, readUpTo }: Pass, page: EventPage, to: Position): Promise<SavedPage | undefined> {
    if (page.received === 0 && stored !== undefined && samePosition(stored, to)) return undefined;
    const gap = gapOf(readUpTo, walk.resumedAt, page.apiTime);
    return this.#parts.store.savePage(key, page, { from: stored, to, ...(gap === undefined ? {} : { gap }) });
  }

  #startedByAWrongClock(pass: Pass, apiTime: Instant): boolean {
    return Math.abs(this.#clock.learn(apiTime)) > SKEW_TOLERANCE_MS && pass.stored === undefined;
  }

  #startAgain({ walk }: Pass): Step {
    this.reset();
    const message = "this machine's clock differs from the API's: going by the API's";
    const fields = { skewSeconds: Math.round(this.#clock.skewMs / 1000) };
    const news: News = { level: "warn", code: "clock_differs", message, fields };
    return { atHead: false, position: walk.position, news: [news] };
  }

  #yieldToOtherWriter(position: Position): Step {
    this.reset();
    const message = "another writer moved the cursor: nothing of this page was written, reading the cursor again";
    return { atHead: false, position, news: [{ level: "info", code: "cursor_moved", message }] };
  }

  #newsOfFilter(): News[] {
    const accepted = this.#parts.filter.accepted();
    return accepted === undefined ? [] : [accepted];
  }

  /** What the API refuses, but need not stop the mirror. Undefined when there is no way around. */
  async #wayAround(trouble: Trouble, pass: Pass, signal: AbortSignal): Promise<News | undefined> {
    if (trouble.apiTime !== undefined && this.#startedByAWrongClock(pass, trouble.apiTime)) {
      return this.#startAgain(pass).news[0];
    }
    const news = this.#parts.filter.adapt(trouble, Date.now());
    if (news !== undefined) return news; // with another filter it is another cursor
    const way = await pass.walk.wayAround(trouble, signal);
    if (way !== undefined) this.#pass = pass;
    return way;
  }
}

/** The range that was to be read, but lies before what the API still has. */
function gapOf(readUpTo: Instant, resumedAt: Instant | undefined, apiTime: Instant): Gap | undefined {
  const edge = retentionEdge(apiTime);
  const rangeEnd = laterOf(edge, resumedAt ?? edge);
  if (readUpTo >= rangeEnd) return undefined;
  const refused = resumedAt !== undefined && resumedAt >= edge;
  const reason = refused ? "the API refuses to start earlier" : "older than the 90 days that the API keeps";
  return { rangeStart: readUpTo, rangeEnd, reason };
}

function newsOfWindow(from: Position, to: Position): News {
  const message = "the API has nothing in this window: going on behind it";
  return { level: "info", code: "window_empty", message, fields: { from: from.at, to: to.at } };
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
