import type { EventPage, Position } from "./event.ts";
import { type Instant, instantOf, laterOf, msOf } from "./instant.ts";
import type { Lead, Walk } from "./walk.ts";

/** A page that was read, and where it leads. */
export interface ReadPage {
  slice: Slice;
  page: EventPage;
  from: Position;
  /** The position behind it; where it leads nowhere, the one before it. */
  to: Position;
  lead: Lead;
  /** What it holds was read before, as far as is known. */
  isRepeating: boolean;
}

/**
 * head: follows the present. history: a range that is caught up with beside it. sweep: a range that is read once more,
 * without a cursor of its own.
 */
export type Purpose = "head" | "history" | "sweep";

/** A range of time that is walked by itself, beside others. */
export class Slice {
  purpose: Purpose;
  readonly walk: Walk;
  /** Read, and not taken yet. */
  readonly pages: ReadPage[] = [];
  isAsking = false;
  /** Its end was reached, or the head. */
  hasEnded = false;
  /** Events in a millisecond, where the position is; undefined until a page was read. */
  density: number | undefined;

  constructor(purpose: Purpose, walk: Walk, density?: number) {
    this.purpose = purpose;
    this.walk = walk;
    this.density = density;
  }

  /** Reads the page at the position and moves on behind it. */
  async read(signal: AbortSignal, background: { leave: number } | undefined): Promise<ReadPage> {
    const { isRepeating } = this.walk;
    const page = await this.walk.read(signal, background);
    const from = this.walk.position;
    const lead = this.walk.follow(page);
    this.#look(page, from);
    const read = { slice: this, page, from, to: this.walk.position, lead, isRepeating };
    this.pages.push(read);
    return read;
  }

  /** How many events are still to come up to that instant, if they go on to be as dense as on the last page. */
  restUntil(end: Instant): number {
    return Math.max(0, msOf(end) - msOf(this.walk.position.at)) * (this.density ?? 0);
  }

  /** Where the first of so many equal parts ends, from the position up to that instant. */
  partUntil(end: Instant, parts: number): Instant {
    const fromMs = msOf(this.walk.position.at);
    return instantOf(fromMs + Math.ceil((msOf(end) - fromMs) / parts));
  }

  #look({ events, end, full }: EventPage, from: Position): void {
    const first = events[0]?.createdAt;
    if (first === undefined || end?.at === undefined || !full) {
      this.density = 0;
      return;
    }
    // a slice may begin with a long silence
    const spanMs = msOf(end.at) - msOf(laterOf(first, from.at));
    if (spanMs > 0) this.density = events.length / spanMs;
  }
}
