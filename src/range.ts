import { ApiClock } from "./api-clock.ts";
import type { EventPage, FetchPage, Gap, MirroredEvent } from "./event.ts";
import type { EffectiveFilter } from "./filter.ts";
import { earlierOf, type Instant, laterOf } from "./instant.ts";
import type { News } from "./news.ts";
import { Reading, type ReadingOptions, type Taken } from "./reading.ts";
import { type ReadPage, Slice } from "./slice.ts";
import { Trouble } from "./trouble.ts";
import { Walk } from "./walk.ts";

export interface RangeParts {
  filter: EffectiveFilter;
  fetchPage: FetchPage;
  reading: Omit<ReadingOptions, "signal" | "pollIntervalMs">;
}

/** A page of a range. */
export interface RangePage {
  slice: Slice;
  /** Its events are those of the range. */
  page: EventPage;
  /** Those of them that no page before brought. */
  fresh: readonly MirroredEvent[];
  /** Everything of the slice before this instant was on pages before. */
  from: Instant;
  /** The API refuses to give what lies between `from` and this instant. */
  resumedAt: Instant | undefined;
  /** Everything of the slice before this instant was on this page or on one before. */
  upTo: Instant;
  /** `upTo` is the slice's end. */
  isLast: boolean;
}

export interface RangeStep {
  /** All is read. */
  rest: boolean;
  /** The filter had to be changed: whatever was taken in before comes once more. */
  startedAgain: boolean;
  news: readonly News[];
}

/** Reads a range of time, slices of it side by side. Never reads or moves a cursor. */
export class RangeReading {
  readonly #parts: RangeParts;
  readonly #since: Instant;
  readonly #until: Instant;
  readonly #clock = new ApiClock();
  #reading: Reading | undefined;
  /** Read, but not taken in yet. */
  readonly #pages: RangePage[] = [];
  /** What is to be told with the next step that succeeds. */
  readonly #untold: News[] = [];
  /** Of each slice's last page: the next one may begin with some of them again. */
  readonly #lastIds = new Map<Slice, ReadonlySet<string>>();
  readonly #readUpTo = new Map<Slice, Instant>();

  /** `since` inclusive, `until` exclusive. */
  constructor(parts: RangeParts, since: Instant, until: Instant) {
    this.#parts = parts;
    this.#since = since;
    this.#until = until;
  }

  /** Reads some pages and has each of them taken in; if that fails, the next step begins with the one that failed. */
  async step(takeIn: (page: RangePage) => Promise<void>, signal: AbortSignal): Promise<RangeStep> {
    this.#reading ??= this.#begin(signal);
    const reading = this.#reading;
    if (this.#pages.length === 0) {
      this.#cut(reading);
      const taken = await reading.next();
      if (taken.failure !== undefined) {
        this.#untold.push(await this.#goAround(taken.failure, signal));
        return { rest: false, startedAgain: this.#reading === undefined, news: this.#untold.splice(0) };
      }
      for (const { page } of taken.pages) this.#clock.learn(page.apiTime);
      this.#pages.push(...taken.pages.map((read) => this.#inRange(read)));
      this.#untold.push(
        ...taken.pages.flatMap(({ unreadable }) => (unreadable === undefined ? [] : [newsOf(unreadable)])),
      );
    }
    for (let page = this.#pages[0]; page !== undefined; page = this.#pages[0]) {
      await takeIn(page);
      this.#pages.shift();
    }
    return { rest: reading.others.length === 0, startedAgain: false, news: this.#untold.splice(0) };
  }

  /** Gives up what is being asked for. */
  stop(): void {
    this.#reading?.stop();
  }

  get #walking() {
    const { filter, fetchPage } = this.#parts;
    return { filter: filter.current, fetchPage, clock: this.#clock };
  }

  #begin(signal: AbortSignal): Reading {
    const reading = new Reading({ ...this.#parts.reading, signal });
    const walk = new Walk({ ...this.#walking, from: { at: this.#since }, until: this.#until });
    const slice = new Slice("history", walk);
    reading.add(slice);
    this.#lastIds.clear();
    this.#readUpTo.clear();
    this.#readUpTo.set(slice, this.#since);
    return reading;
  }

  #cut(reading: Reading): void {
    for (;;) {
      const cut = reading.cut(this.#clock.now());
      if (cut === undefined) return;
      this.#readUpTo.set(reading.split(cut.slice, cut.at, this.#walking), cut.at);
    }
  }

  async #goAround({ slice, error }: NonNullable<Taken["failure"]>, signal: AbortSignal): Promise<News> {
    if (!(error instanceof Trouble) || signal.aborted) throw error;
    const news = this.#parts.filter.adapt(error, Date.now());
    if (news !== undefined) {
      this.stop(); // what was read with the other filter is read again
      this.#reading = undefined;
      return news;
    }
    const way = await slice.walk.wayAround(error, signal);
    if (way === undefined) throw error;
    return way;
  }

  /** An API that ignores the range may answer with more than was asked for; and pages lead beyond the slice's end. */
  #inRange(read: ReadPage): RangePage {
    const { slice, page, isRepeating } = read;
    const end = slice.walk.until ?? this.#until;
    const events = page.events.filter(({ createdAt }) => createdAt >= this.#since && createdAt < end);
    const lastIds = this.#lastIds.get(slice);
    const fresh = isRepeating ? [] : events.filter(({ id }) => lastIds?.has(id) !== true);
    this.#lastIds.set(slice, new Set(events.map(({ id }) => id)));
    return { slice, page: { ...page, events }, fresh, ...this.#advance(read, end) };
  }

  #advance({ slice, from: { at }, to, lead }: ReadPage, end: Instant) {
    const from = this.#readUpTo.get(slice) ?? this.#since;
    const resumedAt = slice.walk.resumedAt !== undefined && at > from ? earlierOf(at, end) : undefined;
    const isLast = lead === "end";
    const upTo = isLast ? end : laterOf(to.at, from);
    this.#readUpTo.set(slice, upTo);
    return { from, resumedAt, upTo, isLast };
  }
}

function newsOf(unreadable: Gap): News {
  const message = "the API does not give some events of this range: they were not read";
  return { level: "warn", code: "unreadable", message, fields: { ...unreadable } };
}
