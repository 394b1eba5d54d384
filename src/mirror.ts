import { ApiClock } from "./api-clock.ts";
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
import { addMs, earlierOf, type Instant, laterOf } from "./instant.ts";
import type { News } from "./news.ts";
import { retentionEdge } from "./position.ts";
import { Trouble } from "./trouble.ts";
import { Walk } from "./walk.ts";

export interface MirrorParts {
  environment: string;
  filter: EffectiveFilter;
  fetchPage: FetchPage;
  store: Pick<Store, "readPosition" | "savePage">;
  /** Where a mirror without a cursor begins, given the API's present. */
  startAt: (now: Instant) => Instant;
  /** This machine's clock, in ms since the epoch; Date.now but in tests. */
  ownClock?: () => number;
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
  /** Whether what lies between that and the first page was looked at. */
  gapChecked: boolean;
}

/** The time that may go by between choosing a start and reading there is not reported as a gap. */
const START_TOLERANCE_MS = 3_600_000;
/** A start that was chosen by a clock further off than this is chosen anew. */
const SKEW_TOLERANCE_MS = 5_000;
/** More ways around than these in one step lead nowhere: every event type, and then some. */
const MOST_DETOURS = 150;

/**
 * WHAT the mirror does: one step reads one page and saves it together with the position behind it. Every error leaves
 * the cursor where it is, and the next step reads it again.
 */
export class Mirror {
  readonly #parts: MirrorParts;
  readonly #clock: ApiClock;
  #pass: Pass | undefined;
  #startedAgain = false;
  /** What is to be told with the next step that succeeds. */
  readonly #untold: News[] = [];

  constructor(parts: MirrorParts) {
    this.#parts = parts;
    this.#clock = new ApiClock(parts.ownClock);
  }

  async step(signal: AbortSignal): Promise<Step> {
    const detours: News[] = [];
    for (;;) {
      const pass = this.#pass ?? (await this.#begin());
      this.#pass = pass;
      try {
        const step = await this.#take(pass, await pass.walk.read(signal), signal);
        return { ...step, news: [...this.#untold.splice(0), ...detours, ...step.news] };
      } catch (error) {
        this.reset();
        if (!(error instanceof Trouble) || signal.aborted || detours.length > MOST_DETOURS) throw error;
        const isAround = await this.#goAround(error, pass, detours, signal);
        if (!isAround) throw error;
      }
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
    const walk = new Walk({ filter: key.filter, fetchPage, clock: this.#clock, from });
    return { walk, key, stored, readUpTo, gapChecked: false };
  }

  /** Saves the page, with the next one already on its way. */
  async #take(pass: Pass, page: EventPage, signal: AbortSignal): Promise<Step> {
    if (this.#startedByAWrongClock(pass, page.apiTime)) return this.#startAgain(pass);
    const { walk, key } = pass;
    const from = walk.position;
    const lead = walk.follow(page);
    if (lead === "ask again") return { atHead: false, position: from, news: [] };
    if (lead !== "end") walk.prefetch(signal);
    const saved = await this.#save(pass, page, walk.position);
    if (saved?.moved === false) return this.#yieldToOtherWriter(from);

    if (saved !== undefined) pass.stored = walk.position;
    if (lead === "end") this.reset();
    const news = this.#newsOfFilter();
    if (lead !== "end" && lead.to.after === undefined) news.push(newsOfWindow(from, lead.to));
    const step = { atHead: lead === "end", position: walk.position, requestId: page.requestId };
    return saved === undefined ? { ...step, news } : { ...step, saved, news: [...news, ...newsOf(saved, key)] };
  }

  /** Undefined when there is nothing to write. */
  async #save(pass: Pass, page: EventPage, to: Position): Promise<SavedPage | undefined> {
    const { key, stored } = pass;
    const edge = retentionEdge(this.#clock.passed(page.apiTime));
    const isNews = page.received > 0 || (to.at >= edge && (stored === undefined || !samePosition(stored, to)));
    if (!isNews) return undefined;
    const gap = pass.gapChecked ? undefined : gapOf(pass, page, edge);
    pass.gapChecked = true;
    return this.#parts.store.savePage(key, page, { from: stored, to, ...(gap === undefined ? {} : { gap }) });
  }

  #startedByAWrongClock(pass: Pass, apiTime: Instant): boolean {
    const isOff = Math.abs(this.#clock.learn(apiTime)) > SKEW_TOLERANCE_MS;
    return isOff && pass.stored === undefined && !this.#startedAgain;
  }

  #startAgain({ walk }: Pass): Step {
    this.reset();
    this.#startedAgain = true;
    return { atHead: false, position: walk.position, news: [this.#newsOfClock()] };
  }

  #newsOfClock(): News {
    const message = "this machine's clock differs from the API's: going by the API's";
    const fields = { skewSeconds: Math.round(this.#clock.skewMs / 1000) };
    return { level: "warn", code: "clock_differs", message, fields };
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

  /** What the API refuses need not stop the mirror. False when there is no way around. */
  async #goAround(trouble: Trouble, pass: Pass, detours: News[], signal: AbortSignal): Promise<boolean> {
    const { code, apiTime } = trouble;
    if (code === "range_start_rejected" && apiTime !== undefined && this.#startedByAWrongClock(pass, apiTime)) {
      this.#startedAgain = true;
      detours.push(this.#newsOfClock());
      return true;
    }
    const news = this.#parts.filter.adapt(trouble, Date.now());
    if (news !== undefined) {
      this.#untold.push(news); // it lasts, though what comes next may fail
      return true; // to another cursor: the filter is part of its key
    }
    const readUpTo = pass.walk.position.at;
    const way = await pass.walk.wayAround(trouble, signal);
    if (way === undefined) return false;
    // what a walk under way has to leave out now was not looked at when it began
    const isNewGap = code === "range_start_rejected" && pass.gapChecked;
    this.#pass = isNewGap ? { ...pass, readUpTo, gapChecked: false } : pass;
    detours.push(way);
    return true;
  }
}

/** The range that was to be read, but lies before what the API still has: `edge`, or where it let the walk begin. */
function gapOf({ walk, readUpTo }: Pass, page: EventPage, edge: Instant): Gap | undefined {
  const refused = walk.resumedAt !== undefined && walk.resumedAt >= edge;
  const oldest = page.events[0]?.createdAt ?? edge;
  const rangeEnd = refused ? laterOf(edge, walk.resumedAt ?? edge) : earlierOf(edge, oldest);
  if (readUpTo >= rangeEnd) return undefined;
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
