import type { EventPage, FetchPage, MirroredEvent, Position, Store } from "./event.ts";
import type { EffectiveFilter } from "./filter.ts";
import { type Instant, instantOf } from "./instant.ts";
import { nextWindow, positionBehind, requestFrom } from "./position.ts";
import { Trouble } from "./trouble.ts";

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
  #position: Position;

  /** `since` inclusive, `until` exclusive. */
  constructor(parts: BackfillParts, since: Instant, until: Instant) {
    this.#parts = parts;
    this.#since = since;
    this.#until = until;
    this.#position = { at: since };
  }

  /** `atHead` says that the range is done. */
  async step(signal: AbortSignal): Promise<{ atHead: boolean }> {
    const { filter, fetchPage } = this.#parts;
    const request = requestFrom(this.#position, filter.current, instantOf(Date.now()), this.#until);
    const page = await fetchPage(request, signal).catch((error: unknown) => {
      if (error instanceof Trouble && filter.adapt(error, Date.now()) !== undefined) return undefined;
      throw error;
    });
    if (page === undefined) return { atHead: false };
    await this.#save(page);
    return { atHead: !this.#advance(page) };
  }

  async #save(page: EventPage): Promise<void> {
    const events = page.events.filter((event) => this.#isInRange(event));
    if (events.length + page.quarantined.length === 0) return;
    const saved = await this.#parts.store.saveEvents(this.#parts.environment, { ...page, events });
    const inserted = [...saved.inserted.values()].reduce((sum, count) => sum + count, 0);
    this.report.read += events.length;
    this.report.new += inserted;
    this.report.changed += saved.updated;
    this.report.unchanged += events.length - inserted - saved.updated;
    this.report.quarantined += saved.quarantined;
  }

  /** An API that ignores the range may answer with more than was asked for. */
  #isInRange({ createdAt }: MirroredEvent): boolean {
    return createdAt >= this.#since && createdAt < this.#until;
  }

  /** False at the end of the range. */
  #advance(page: EventPage): boolean {
    const behind = positionBehind(page, this.#position);
    if (behind?.after !== undefined && behind.after === this.#position.after) {
      throw new Trouble("GET /events: the answer does not lead beyond the cursor", {
        kind: "passing",
        code: "page_without_progress",
      });
    }
    const next = behind ?? nextWindow(this.#position, page.apiTime);
    if (next === undefined || next.at >= this.#until) return false;
    this.#position = next;
    return true;
  }
}
