import type { ApiClock } from "./api-clock.ts";
import type { EventFilter, EventPage, FetchPage, PageRequest, Position } from "./event.ts";
import type { Instant } from "./instant.ts";
import type { News } from "./news.ts";
import { endsBefore, isOld, nextWindow, oldestStart, positionBehind, requestFrom, withoutCursor } from "./position.ts";
import { Trouble } from "./trouble.ts";

export interface WalkOptions {
  filter: EventFilter;
  fetchPage: FetchPage;
  clock: ApiClock;
  from: Position;
  /** Exclusive; without it the walk ends at the head. */
  until?: Instant;
}

/** Where a page leads: on to a position, to the same question once more, or to the end of the walk. */
export type Lead = { to: Position } | "ask again" | "end";

/** What was asked for, and its answer: maybe still to come, while the page before it is being written. */
interface Asked {
  request: PageRequest;
  page: Promise<EventPage>;
  abort?: AbortController;
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
  #prefetched: Asked | undefined;
  /** The question that was answered last was asked by cursor. */
  #askedByCursor = false;
  /** One instant holds more events than a page: up to here, only the cursor leads on. */
  #byCursorUntil: Instant | undefined;
  /** The API had nothing new behind this instant, and is being asked again. */
  #doubtedAt: Instant | undefined;
  /** The API refused a cursor of this time: the next one has to be later, or nothing is won. */
  #rejectedAt: Instant | undefined;

  constructor(options: WalkOptions) {
    this.#options = options;
    this.position = options.from;
  }

  /** The page at the position. Throws a Trouble for one that does not lead on from there. */
  async read(signal: AbortSignal): Promise<EventPage> {
    const { request, page } = this.#prefetched ?? this.#ask(signal);
    this.#prefetched = undefined;
    this.#askedByCursor = "after" in request.from;
    const answer = await page;
    requireProgress(answer, { position: this.position, byCursor: this.#askedByCursor });
    return answer;
  }

  /** Where the page leads that was read last; moves there. */
  follow(page: EventPage): Lead {
    const { until } = this.#options;
    const behind = this.#behind(page);
    if (behind === undefined) return this.#leaveWindow(page);
    if (until !== undefined && behind.at >= until) return "end";
    return this.#moveTo(behind);
  }

  /** Whether what comes next was read before, as far as is known: after going back a little. */
  get isRepeating(): boolean {
    return this.#rejectedAt !== undefined && this.position.at <= this.#rejectedAt;
  }

  /** Asks for the page at the position already now. */
  prefetch(signal: AbortSignal): void {
    const abort = new AbortController();
    const asked = this.#ask(AbortSignal.any([signal, abort.signal]));
    asked.page.catch(() => undefined); // told when it is read; given up, nobody wants to know
    this.#prefetched = { ...asked, abort };
  }

  /** Gives up the page that is being asked for. */
  stop(): void {
    this.#prefetched?.abort?.abort(new Error("the page is not needed any more"));
    this.#prefetched = undefined;
  }

  /** Goes another way when that is what the trouble takes. Undefined when there is none. */
  async wayAround(trouble: Trouble, signal: AbortSignal): Promise<News | undefined> {
    if (trouble.code === "cursor_rejected") return this.#goOnByTime(trouble);
    if (trouble.code === "range_start_rejected") return this.#goOnFromTheOldest(signal);
    return undefined;
  }

  #ask(signal: AbortSignal): Asked {
    const { fetchPage, filter, clock, until } = this.#options;
    const byCursor = this.#byCursorUntil !== undefined && this.position.at <= this.#byCursorUntil;
    const request = requestFrom(this.position, filter, { now: clock.now(), until, byCursor });
    return { request, page: fetchPage(request, signal) };
  }

  /** Undefined when the page holds nothing that lies behind the position. */
  #behind(page: EventPage): Position | undefined {
    const behind = positionBehind(page, this.position);
    if (behind === undefined || this.#askedByCursor || this.position.after === undefined) return behind;
    // asked by time from an event that is known: the page begins with it, and with the others of that instant
    if (behind.at > this.position.at) return behind;
    if (!page.full) return undefined;
    this.#byCursorUntil = this.position.at;
    return behind;
  }

  /**
   * Moving on by a window skips everything in it, for ever. So an answer that says that it is empty is believed only
   * when a second one says the same.
   */
  #leaveWindow({ apiTime }: EventPage): Lead {
    const { until, clock } = this.#options;
    clock.requireAgreement(apiTime, (now) => isOld(this.position, now));
    const to = nextWindow(this.position, clock.passed(apiTime));
    if (to === undefined && until === undefined) return "end";
    const isConfirmed = this.#doubtedAt === this.position.at;
    this.#doubtedAt = this.position.at;
    if (!isConfirmed) return "ask again";
    return to === undefined || (until !== undefined && to.at >= until) ? "end" : this.#moveTo(to);
  }

  #moveTo(to: Position): Lead {
    this.position = to;
    this.#doubtedAt = undefined;
    return { to };
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
    const { fetchPage, filter, clock } = this.#options;
    return fetchPage(requestFrom({ at: start }, filter, { now: clock.now() }), signal).then(
      () => true,
      (error: unknown) => {
        if (error instanceof Trouble && error.code === "range_start_rejected") return false;
        throw error;
      },
    );
  }
}

/** A page has to lead on from where it began; one that does not is not written. */
function requireProgress(page: EventPage, { position, byCursor }: { position: Position; byCursor: boolean }): void {
  if (byCursor && endsBefore(page, position)) {
    throw new Trouble("GET /events answered with events from before the cursor", {
      kind: "passing",
      code: "cursor_rejected",
    });
  }
  const leadsNowhere = page.full && page.end === undefined;
  const isStuck = byCursor && page.end !== undefined && page.end.after === position.after;
  if (!leadsNowhere && !isStuck) return;
  throw new Trouble("GET /events: the answer does not lead beyond the cursor", {
    kind: "passing",
    code: "page_without_progress",
    hint: "nothing of this page was stored; the page is asked for again",
  });
}
