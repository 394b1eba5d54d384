import { ApiClock } from "./api-clock.ts";
import type { EventPage, FetchPage, MirroredEvent } from "./event.ts";
import type { EffectiveFilter } from "./filter.ts";
import { type Instant, laterOf } from "./instant.ts";
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
  /** Everything of the slice before this instant was on this page or on one before. */
  upTo: Instant;
}

/** Reads a range of time, slices of it side by side. Never reads or moves a cursor. */
export class RangeReading {
  readonly #parts: RangeParts;
  readonly #since: Instant;
  readonly #until: Instant;
  readonly #clock = new ApiClock();
  #reading: Reading | undefined;
  /** Read, but not taken in yet. */
  #pages: readonly RangePage[] = [];
  /** Of each slice's last page: the next one may begin with some of them again. */
  #lastIds = new Map<Slice, ReadonlySet<string>>();

  /** `since` inclusive, `until` exclusive. */
  constructor(parts: RangeParts, since: Instant, until: Instant) {
    this.#parts = parts;
    this.#since = since;
    this.#until = until;
  }

  /** Reads some pages and has them taken in; if that fails, the next step begins with them. `rest`: all is read. */
  async step(
    takeIn: (pages: readonly RangePage[]) => Promise<void>,
    signal: AbortSignal,
  ): Promise<{ rest: boolean; news: readonly News[] }> {
    this.#reading ??= this.#begin(signal);
    const reading = this.#reading;
    if (this.#pages.length === 0) {
      this.#cut(reading);
      const taken = await reading.next();
      if (taken.failure !== undefined) return { rest: false, news: [await this.#goAround(taken.failure, signal)] };
      this.#pages = taken.pages.map((read) => this.#inRange(read));
    }
    await takeIn(this.#pages);
    this.#pages = [];
    return { rest: reading.others.length === 0, news: [] };
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
    reading.add(new Slice("history", walk));
    return reading;
  }

  #cut(reading: Reading): void {
    for (;;) {
      const cut = reading.cut(this.#clock.now());
      if (cut === undefined) return;
      reading.split(cut.slice, cut.at, this.#walking);
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
  #inRange({ slice, page, to, isRepeating }: ReadPage): RangePage {
    const end = slice.walk.until ?? this.#until;
    const events = page.events.filter(({ createdAt }) => createdAt >= this.#since && createdAt < end);
    const lastIds = this.#lastIds.get(slice);
    const fresh = isRepeating ? [] : events.filter(({ id }) => lastIds?.has(id) !== true);
    this.#lastIds.set(slice, new Set(events.map(({ id }) => id)));
    const upTo = slice.hasEnded && slice.pages.length === 0 ? end : laterOf(to.at, this.#since);
    return { slice, page: { ...page, events }, fresh, upTo };
  }
}
