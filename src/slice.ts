import type { EventPage, Gap, Position } from "./event.ts";
import { addMs, type Instant, laterOf, msOf } from "./instant.ts";
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
  /** What can't be read between it and `to`. */
  unreadable: Gap | undefined;
}

/**
 * head: follows the present. history: a range that is caught up with beside it. sweep: a range that is read once more,
 * without a cursor of its own.
 */
export type Purpose = "head" | "history" | "sweep";

/** So many times as dense as on the page before: a burst has begun. */
const BURST = 4;
/** So many times as long as it has lasted, at most. */
const BURST_GOES_ON = 4;

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
  /** Where a burst of events began. */
  #burstAt: Instant | undefined;

  /** `before`: the slice that it was cut from. */
  constructor(purpose: Purpose, walk: Walk, before?: Slice) {
    this.purpose = purpose;
    this.walk = walk;
    if (before === undefined) return;
    this.density = before.density;
    this.#burstAt = before.#burstAt;
  }

  /** Reads the page at the position and moves on behind it. */
  async read(signal: AbortSignal, background: { leave: number } | undefined): Promise<ReadPage> {
    const { isRepeating } = this.walk;
    const page = await this.walk.read(signal, background);
    const from = this.walk.position;
    const lead = this.walk.follow(page);
    this.#look(page, from);
    const read = { slice: this, page, from, to: this.walk.position, lead, isRepeating, unreadable: this.#unreadable };
    this.pages.push(read);
    return read;
  }

  get #unreadable(): Gap | undefined {
    const { unreadable } = this.walk;
    return unreadable && { ...unreadable, reason: "the API lists no more of this instant's events than one page" };
  }

  /** How many events are still to come up to that instant, if they go on to be as dense as on the last page. */
  restUntil(end: Instant): number {
    return this.#restMs(end) * (this.density ?? 0);
  }

  /** Where the first of so many equal parts ends, of what is still to come up to that instant. */
  partUntil(end: Instant, parts: number): Instant {
    return addMs(this.walk.position.at, Math.ceil(this.#restMs(end) / parts));
  }

  /** A burst is not expected to go on to the end: an import takes an hour, and a slice may be weeks long. */
  #restMs(end: Instant): number {
    const atMs = msOf(this.walk.position.at);
    const restMs = Math.max(0, msOf(end) - atMs);
    return this.#burstAt === undefined ? restMs : Math.min(restMs, BURST_GOES_ON * (atMs - msOf(this.#burstAt)));
  }

  #look({ events, end, full }: EventPage, from: Position): void {
    const first = events[0]?.createdAt;
    if (first === undefined || end?.at === undefined || !full) {
      this.density = 0;
      return;
    }
    // a slice may begin with a long silence
    const spanMs = msOf(end.at) - msOf(laterOf(first, from.at));
    if (spanMs <= 0) return;
    const density = events.length / spanMs;
    if (this.density !== undefined && density > BURST * this.density) this.#burstAt = first;
    this.density = density;
  }
}
