import { ApiClock } from "./api-clock.ts";
import type { EventPage, FetchPage, MirroredEvent, Store } from "./event.ts";
import type { EffectiveFilter } from "./filter.ts";
import type { Instant } from "./instant.ts";
import type { News } from "./news.ts";
import { Trouble } from "./trouble.ts";
import { Walk } from "./walk.ts";

export interface BackfillParts {
  environment: string;
  filter: EffectiveFilter;
  fetchPage: FetchPage;
  store: Pick<Store, "saveEvents">;
}

/** How many events the API gave in the range, and what became of them. */
export interface BackfillReport {
  read: number;
  new: number;
  changed: number;
  unchanged: number;
  quarantined: number;
}

/** Walks a range again, one page per step. Never reads or moves a cursor. */
export class Backfill {
  readonly report: BackfillReport = { read: 0, new: 0, changed: 0, unchanged: 0, quarantined: 0 };
  readonly #parts: BackfillParts;
  readonly #since: Instant;
  readonly #until: Instant;
  readonly #clock = new ApiClock();
  #walk: Walk;
  /** Of the last page: the next one may begin with some of them again. */
  #lastIds: ReadonlySet<string> = new Set();

  /** `since` inclusive, `until` exclusive. */
  constructor(parts: BackfillParts, since: Instant, until: Instant) {
    this.#parts = parts;
    this.#since = since;
    this.#until = until;
    this.#walk = this.#begin();
  }

  /** `atHead` says that the range is done. */
  async step(signal: AbortSignal): Promise<{ atHead: boolean; news: readonly News[] }> {
    try {
      const isRepeating = this.#walk.isRepeating;
      const page = await this.#walk.read(signal);
      await this.#save(page, isRepeating);
      return { atHead: this.#walk.follow(page) === "end", news: [] };
    } catch (error) {
      if (!(error instanceof Trouble) || signal.aborted) throw error;
      const news = await this.#wayAround(error, signal);
      if (news === undefined) throw error;
      return { atHead: false, news: [news] };
    }
  }

  #begin(): Walk {
    const { filter, fetchPage } = this.#parts;
    const from = { at: this.#since };
    return new Walk({ filter: filter.current, fetchPage, clock: this.#clock, from, until: this.#until });
  }

  async #wayAround(trouble: Trouble, signal: AbortSignal): Promise<News | undefined> {
    const news = this.#parts.filter.adapt(trouble, Date.now());
    if (news === undefined) return this.#walk.wayAround(trouble, signal);
    this.#walk = this.#begin(); // what was read with the other filter is read again
    return news;
  }

  /** What was counted before counts again only if it is not the same any more. */
  async #save(page: EventPage, isRepeating: boolean): Promise<void> {
    const events = page.events.filter((event) => this.#isInRange(event));
    if (events.length + page.quarantined.length === 0) return;
    const saved = await this.#parts.store.saveEvents(this.#parts.environment, { ...page, events });
    const inserted = [...saved.inserted.values()].reduce((sum, count) => sum + count, 0);
    const fresh = isRepeating ? [] : events.filter(({ id }) => !this.#lastIds.has(id));
    const unchanged = Math.max(0, fresh.length - inserted - saved.updated);
    this.#lastIds = new Set(events.map(({ id }) => id));
    this.report.read += inserted + saved.updated + unchanged;
    this.report.new += inserted;
    this.report.changed += saved.updated;
    this.report.unchanged += unchanged;
    this.report.quarantined += saved.quarantined;
  }

  /** An API that ignores the range may answer with more than was asked for. */
  #isInRange({ createdAt }: MirroredEvent): boolean {
    return createdAt >= this.#since && createdAt < this.#until;
  }
}
