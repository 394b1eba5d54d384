import type { ApiClock } from "./api-clock.ts";
import type { EventFilter, EventPage, FetchPage, Gap, PageRequest, Position } from "./event.ts";
import { addMs, type Instant } from "./instant.ts";
import type { News } from "./news.ts";
import {
  endsBefore,
  isBeyondWindow,
  isOld,
  nextWindow,
  oldestStart,
  positionBehind,
  requestFrom,
  withoutCursor,
} from "./position.ts";
import { Trouble } from "./trouble.ts";

export interface WalkOptions {
  filter: EventFilter;
  fetchPage: FetchPage;
  clock: ApiClock;
  from: Position;
  /** Exclusive; without it the walk ends at the head. */
  until?: Instant | undefined;
}

/**
 * Where a page leads: on to a position, to the same question once more, to the end of the walk, or, for a walk that has
 * none, nowhere for now: "head". `atHead`: the API said that nothing follows yet.
 */
export type Lead = { to: Position; atHead: boolean } | "ask again" | "end" | "head";

/**
 * Reads from a position on, page by page, past empty windows and around what the API refuses. It knows nothing of what
 * is done with the pages.
 */
export class Walk {
  /** What is asked for next. */
  position: Position;
  /** Exclusive; may come nearer while the walk is under way. */
  until: Instant | undefined;
  /** Set when the API refused to start any earlier. */
  resumedAt: Instant | undefined;
  readonly #options: WalkOptions;
  /** The question that was answered last. */
  #asked: PageRequest | undefined;
  /** Behind the last page, what the API gives neither by time nor by cursor: the rest of a crowded instant. */
  unreadable: Pick<Gap, "rangeStart" | "rangeEnd"> | undefined;
  #byCursorUntil: Instant | undefined;
  /** The API had nothing new behind this instant, and is being asked again. */
  #doubtedAt: Instant | undefined;
  /** The API refused a cursor of this time: the next one has to be later, or nothing is won. */
  #rejectedAt: Instant | undefined;

  constructor(options: WalkOptions) {
    this.#options = options;
    this.position = options.from;
    this.until = options.until;
  }

  /** The page at the position. Throws a Trouble for one that does not lead on from there. */
  async read(signal: AbortSignal, background?: PageRequest["background"]): Promise<EventPage> {
    const { fetchPage, filter, clock } = this.#options;
    // not bounded by `until`: an event from behind the end proves that nothing is left before it
    this.#asked = requestFrom(this.position, filter, { now: clock.now(), byCursor: this.#isInInstant });
    const page = await fetchPage({ ...this.#asked, ...(background && { background }) }, signal);
    requireProgress(page, { position: this.position, byCursor: "after" in this.#asked.from });
    return page;
  }

  /** Where the page leads that was read last; moves there. */
  follow(page: EventPage): Lead {
    this.unreadable = undefined;
    if (this.#mayHaveJumped(page)) return this.#leaveInstant(page) ?? "ask again";
    const behind = this.#behind(page);
    if (behind === undefined) return this.#leaveInstant(page) ?? this.#leaveWindow(page);
    if (this.until !== undefined && behind.at >= this.until) return "end";
    return this.#moveTo(behind, page.last && this.#asked?.rangeEnd === undefined);
  }

  /** Whether what comes next was read before, as far as is known: after going back a little. */
  get isRepeating(): boolean {
    return this.#rejectedAt !== undefined && this.position.at <= this.#rejectedAt;
  }

  /** Goes another way when that is what the trouble takes. Undefined when there is none. */
  async wayAround(trouble: Trouble, signal: AbortSignal): Promise<News | undefined> {
    if (trouble.code === "cursor_rejected") return this.#goOnByTime(trouble);
    if (trouble.code === "range_start_rejected") return this.#goOnFromTheOldest(signal);
    return undefined;
  }

  /** Undefined when the page holds nothing that lies behind the position. */
  #behind(page: EventPage): Position | undefined {
    const behind = positionBehind(page, this.position);
    const askedByCursor = this.#asked !== undefined && "after" in this.#asked.from;
    if (behind === undefined || askedByCursor || this.position.after === undefined) return behind;
    // asked by time from an event that is known: the page begins with it, and with the others of that instant
    if (behind.at > this.position.at) return behind;
    if (page.last) return undefined;
    this.#byCursorUntil = this.position.at;
    return behind;
  }

  /** One instant holds more events than a page: as long as it lasts, only the cursor leads on. */
  get #isInInstant(): boolean {
    return this.#byCursorUntil !== undefined && this.position.at <= this.#byCursorUntil;
  }

  /**
   * An API that looks at the last 30 days leads from an older cursor over everything between. What lies farther back
   * than that it can't have come to in this way; nor can more of the position's own instant be a jump.
   */
  #mayHaveJumped({ events, apiTime }: EventPage): boolean {
    const first = events[0]?.createdAt;
    if (first === undefined || this.#asked === undefined || !("after" in this.#asked.from)) return false;
    return isOld(this.position, apiTime) && first > addMs(this.position.at, 1) && !isBeyondWindow(first, apiTime);
  }

  /**
   * An API that looks at the last 30 days behind a cursor answers nothing to an old one. That says nothing of what comes
   * after the instant; but whatever else happened in it can't be had.
   */
  #leaveInstant({ apiTime }: EventPage): Lead | undefined {
    const { at } = this.position;
    if (!this.#isInInstant || !isOld(this.position, apiTime)) return undefined;
    this.unreadable = { rangeStart: at, rangeEnd: addMs(at, 1) };
    return this.#moveTo({ at: addMs(at, 1) }, false);
  }

  /**
   * Moving on by a window skips everything in it, for ever. So an answer that says that it is empty is believed only
   * when a second one says the same.
   */
  #leaveWindow({ apiTime }: EventPage): Lead {
    const { clock } = this.#options;
    const { until } = this;
    clock.requireAgreement(apiTime, (now) => isOld(this.position, now));
    const to = nextWindow(this.position, clock.passed(apiTime));
    if (to === undefined && until === undefined) return "head";
    const isConfirmed = this.#doubtedAt === this.position.at;
    this.#doubtedAt = this.position.at;
    if (!isConfirmed) return "ask again";
    return to === undefined || (until !== undefined && to.at >= until) ? "end" : this.#moveTo(to, false);
  }

  #moveTo(to: Position, atHead: boolean): Lead {
    this.position = to;
    // that nothing follows was said once already
    this.#doubtedAt = atHead ? to.at : undefined;
    return { to, atHead };
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
