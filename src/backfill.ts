import type { Store } from "./event.ts";
import type { Instant } from "./instant.ts";
import type { News } from "./news.ts";
import { type RangePage, type RangeParts, RangeReading } from "./range.ts";

export interface BackfillParts extends RangeParts {
  environment: string;
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

/** Reads a range again and writes what is new or has changed. Never reads or moves a cursor. */
export class Backfill {
  readonly report: BackfillReport = { read: 0, new: 0, changed: 0, unchanged: 0, quarantined: 0 };
  readonly #parts: BackfillParts;
  readonly #range: RangeReading;

  /** `since` inclusive, `until` exclusive. */
  constructor(parts: BackfillParts, since: Instant, until: Instant) {
    this.#parts = parts;
    this.#range = new RangeReading(parts, since, until);
  }

  /** `rest` says that the range is done. */
  step(signal: AbortSignal): Promise<{ rest: boolean; news: readonly News[] }> {
    return this.#range.step((page) => this.#save(page), signal);
  }

  /** Gives up what is being asked for. */
  stop(): void {
    this.#range.stop();
  }

  /** What was counted before counts again only if it is not the same any more. */
  async #save({ page, fresh }: RangePage): Promise<void> {
    if (page.events.length + page.quarantined.length === 0) return;
    const saved = await this.#parts.store.saveEvents(this.#parts.environment, page);
    const inserted = [...saved.inserted.values()].reduce((sum, count) => sum + count, 0);
    const unchanged = Math.max(0, fresh.length - inserted - saved.updated);
    this.report.read += inserted + saved.updated + unchanged;
    this.report.new += inserted;
    this.report.changed += saved.updated;
    this.report.unchanged += unchanged;
    this.report.quarantined += saved.quarantined;
  }
}
