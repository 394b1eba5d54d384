import type { EventFilter, EventPage, FetchPage, Position } from "./event.ts";
import { type Instant, instantOf, laterOf, msOf } from "./instant.ts";
import type { News } from "./news.ts";
import { endsBefore, nextWindow, oldestStart, positionBehind, requestFrom, withoutCursor } from "./position.ts";
import { Trouble } from "./trouble.ts";

/** The API's present, which is what its windows and its retention go by. Ours until it has answered once. */
export class ApiClock {
  #skewMs = 0;

  now(): Instant {
    return instantOf(Date.now() + this.#skewMs);
  }

  /** Answers how many milliseconds further the API's clock is ahead than was thought. */
  learn(apiTime: Instant): number {
    const before = this.#skewMs;
    this.#skewMs = msOf(apiTime) - Date.now();
    return this.#skewMs - before;
  }

  get skewMs(): number {
    return this.#skewMs;
  }
}

export interface WalkOptions {
  filter: EventFilter;
  fetchPage: FetchPage;
  clock: ApiClock;
  from: Position;
  /** Exclusive; without it the walk ends at the head. */
  until?: Instant;
}

/** Where a page leads: on to a position, to the same question asked in another way, or to the end of the walk. */
export type Lead = { to: Position } | "ask again" | "end";

/** A page that is asked for while the one before it is being written. */
interface Prefetch {
  page: Promise<EventPage>;
  abort: AbortController;
}

/**
 * Reads from a position on, page by page, past empty windows and around what the API refuses. It knows nothing of what
 * is done with the pages.
 */
export class Walk {
  /** What is asked for next. */
  position: Position;
  /** Set when the API refused to start any earlier. */
  resumedAt: Instant | undefined;
  readonly #options: WalkOptions;
  /** Set when the API had nothing behind a position of this time, and that is being asked again. */
  #doubtedAt: Instant | undefined;
  /** Set when the API refused a cursor of this time: the next one has to be later, or nothing is won. */
  #rejectedAt: Instant | undefined;
  #prefetch: Prefetch | undefined;

  constructor(options: WalkOptions) {
    this.#options = options;
    this.position = options.from;
  }

  /** The page at the position. Throws a Trouble for one that does not lead on from there. */
  async read(signal: AbortSignal): Promise<EventPage> {
    const prefetched = this.#prefetch?.page;
    this.#prefetch = undefined;
    const page = await (prefetched ?? this.#fetch(this.position, signal));
    requireProgress(page, this.position);
    return page;
  }

  /** Where the page leads that was read last; moves there. */
  follow(page: EventPage): Lead {
    const { until } = this.#options;
    const behind = positionBehind(page, this.position);
    const to = behind ?? nextWindow(this.#doubted(), page.apiTime);
    const ends = to === undefined || (until !== undefined && to.at >= until);
    const isLoss = behind === undefined && (!ends || until !== undefined);
    if (isLoss && !this.#isConfirmed()) return this.#askAgain();
    if (ends) return "end";
    this.position = to;
    return { to };
  }

  /** Whether what comes next was read before, as far as is known: after going back a little to ask again. */
  get isRepeating(): boolean {
    return this.#isConfirmed() || (this.#rejectedAt !== undefined && this.position.at <= this.#rejectedAt);
  }

  /** Asks for the page at the position already now. */
  prefetch(signal: AbortSignal): void {
    const abort = new AbortController();
    const page = this.#fetch(this.position, AbortSignal.any([signal, abort.signal]));
    page.catch(() => undefined); // told when it is read; given up, nobody wants to know
    this.#prefetch = { page, abort };
  }

  /** Gives up the page that is being asked for. */
  stop(): void {
    this.#prefetch?.abort.abort(new Error("the page is not needed any more"));
    this.#prefetch = undefined;
  }

  /** Goes another way when that is what the trouble takes. Undefined when there is none. */
  async wayAround(trouble: Trouble, signal: AbortSignal): Promise<News | undefined> {
    if (trouble.code === "cursor_rejected") return this.#goOnByTime(trouble);
    if (trouble.code === "range_start_rejected") return this.#goOnFromTheOldest(signal);
    return undefined;
  }

  #fetch(position: Position, signal: AbortSignal): Promise<EventPage> {
    const { fetchPage, filter, clock, until } = this.#options;
    return fetchPage(requestFrom(position, filter, clock.now(), until), signal);
  }

  /**
   * Moving on by a window skips everything in it, for ever. So an empty answer to an old position is believed only when
   * a second one, asked for by time instead of by cursor, says the same.
   */
  #askAgain(): Lead {
    this.#doubtedAt = this.position.at;
    if (this.position.after !== undefined) this.position = withoutCursor(this.position);
    return "ask again";
  }

  #isConfirmed(): boolean {
    return this.#doubtedAt !== undefined && this.position.at <= this.#doubtedAt;
  }

  /** How far the walk had come before it asked again. */
  #doubted(): Position {
    if (this.#doubtedAt === undefined || !this.#isConfirmed()) return this.position;
    return { at: laterOf(this.position.at, this.#doubtedAt) };
  }

  #goOnByTime(trouble: Trouble): News | undefined {
    const { after, at } = this.position;
    if (after === undefined || (this.#rejectedAt !== undefined && at <= this.#rejectedAt)) return undefined;
    this.#rejectedAt = at;
    this.position = withoutCursor(this.position);
    return {
      level: "warn",
      code: "cursor_rejected",
      message: "the API no longer knows the cursor: going on by time, a little earlier",
      fields: { cursor: after, from: this.position.at, reason: trouble.message, requestId: trouble.requestId },
    };
  }

  async #goOnFromTheOldest(signal: AbortSignal): Promise<News | undefined> {
    const asked = this.position.at;
    const at = await oldestStart(asked, this.#options.clock.now(), (start) => this.#accepts(start, signal));
    if (at === undefined) return undefined;
    this.position = { at };
    this.resumedAt = at;
    return {
      level: "warn",
      code: "range_start_rejected",
      message: "the API refuses to go that far back: going on from the oldest that it gives",
      fields: { asked, from: at },
    };
  }

  async #accepts(start: Instant, signal: AbortSignal): Promise<boolean> {
    return this.#fetch({ at: start }, signal).then(
      () => true,
      (error: unknown) => {
        if (error instanceof Trouble && error.code === "range_start_rejected") return false;
        throw error;
      },
    );
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
