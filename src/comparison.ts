import type { Comparer, EventPage, Store } from "./event.ts";
import type { Findings } from "./findings.ts";
import { addMs, earlierOf, type Instant, laterOf } from "./instant.ts";
import { retentionEdge } from "./position.ts";
import { type RangePage, type RangeParts, RangeReading, type RangeStep } from "./range.ts";

export interface ComparisonParts extends RangeParts {
  environment: string;
  comparer: Comparer;
  store: Pick<Store, "saveEvents">;
}

export interface ComparisonOptions {
  /** Inclusive. */
  since: Instant;
  /** Exclusive. */
  until: Instant;
  /** Whether to leave out what may still be on its way into the table. */
  leavesYoung: boolean;
  /** Whether to write what is missing or different. */
  repairs: boolean;
}

/** Younger events than this may be listed by the API and not be stored yet, or the other way round. */
const YOUNG_MS = 60_000;
/** Lists are not sorted to the millisecond everywhere: an event may come this much later than its time says. */
const DISORDER_MS = 60_000;
/** Rows are looked for in no longer ranges than this, so that not too many come at once. */
const LONGEST_LOOK_MS = 86_400_000;

/** What depends on when the comparison began. */
interface Beginning {
  /** Where it ends. */
  until: Instant;
  /** What is older, the API need not give any more. */
  edge: Instant;
}

/** A slice as far as it was compared. */
interface Part {
  /** Everything before this instant is done with. */
  doneUpTo: Instant;
  /** What the API gave from there on, and when it happened. */
  given: Map<string, Instant>;
}

/**
 * Compares what the API gives of a range with the table, page by page, and what the table holds with what the API gave.
 * However long the range is, it remembers no more of it than the last minute of each slice.
 */
export class Comparison {
  readonly #parts: ComparisonParts;
  readonly #options: ComparisonOptions;
  readonly #findings: Findings;
  readonly #range: RangeReading;
  readonly #slices = new Map<RangePage["slice"], Part>();
  /** Found wrong, and not written yet. */
  readonly #toRepair: EventPage[] = [];
  #began: Beginning | undefined;
  /** The oldest event that the API gave. */
  #oldest: Instant | undefined;

  constructor(parts: ComparisonParts, options: ComparisonOptions, findings: Findings) {
    this.#parts = parts;
    this.#options = options;
    this.#findings = findings;
    this.#range = new RangeReading(parts, options.since, options.until);
  }

  async step(signal: AbortSignal): Promise<RangeStep> {
    const step = await this.#range.step((page) => this.#take(page), signal);
    if (step.rest) this.#tellForgotten();
    return step;
  }

  /** Gives up what is being asked for. */
  stop(): void {
    this.#range.stop();
  }

  /** What was left out begins here. */
  get until(): Instant {
    return this.#began?.until ?? this.#options.until;
  }

  /** When it failed, it is done once more: what was counted is not counted again. */
  async #take({ slice, page, from, resumedAt, upTo, isLast }: RangePage): Promise<void> {
    this.#began ??= this.#begin(page.apiTime);
    const began = this.#began;
    if (resumedAt !== undefined) this.#refused(began, from, resumedAt);
    const part = this.#slices.get(slice) ?? { doneUpTo: from, given: new Map() };
    this.#slices.set(slice, part);
    const events = page.events.filter(
      ({ id, createdAt }) => createdAt >= part.doneUpTo && createdAt < began.until && !part.given.has(id),
    );
    if (events.length > 0) await this.#compare({ ...page, events });
    for (const { id, createdAt } of events) part.given.set(id, createdAt);
    await this.#repair();
    await this.#lookForExtra(began, part, isLast ? upTo : addMs(upTo, -DISORDER_MS));
  }

  #begin(now: Instant): Beginning {
    const { since, until, leavesYoung } = this.#options;
    const settled = leavesYoung ? earlierOf(until, addMs(now, -YOUNG_MS)) : until;
    return { until: laterOf(since, settled), edge: retentionEdge(now) };
  }

  async #compare(page: EventPage): Promise<void> {
    const wrong = await this.#parts.comparer.compare(this.#parts.environment, page);
    this.#findings.read += page.events.length;
    for (const [id, difference] of wrong) this.#findings.add(difference, id);
    const [first] = page.events;
    if (first !== undefined) this.#oldest = earlierOf(this.#oldest ?? first.createdAt, first.createdAt);
    if (!this.#options.repairs || wrong.size === 0) return;
    const isWrong = ({ id = "" }: { id?: string }) => wrong.has(id);
    this.#toRepair.push({
      ...page,
      events: page.events.filter(isWrong),
      quarantined: page.quarantined.filter(isWrong),
    });
  }

  /** Repaired is what is seen to be right afterwards. */
  async #repair(): Promise<void> {
    const { environment, comparer, store } = this.#parts;
    for (let page = this.#toRepair[0]; page !== undefined; page = this.#toRepair[0]) {
      await store.saveEvents(environment, page);
      const wrong = await comparer.compare(environment, page);
      this.#findings.repaired += page.events.length - wrong.size;
      this.#toRepair.shift();
    }
  }

  async #lookForExtra({ edge, until: end }: Beginning, part: Part, upTo: Instant): Promise<void> {
    while (part.doneUpTo < earlierOf(upTo, end)) {
      const since = part.doneUpTo;
      const ends = [upTo, end, addMs(since, LONGEST_LOOK_MS), ...(since < edge ? [edge] : [])];
      const until = ends.reduce(earlierOf);
      for (const id of await this.#storedIds(since, until)) {
        if (part.given.has(id) || !this.#findings.add("extra", id)) continue;
        if (until <= edge) this.#findings.expected += 1;
      }
      part.doneUpTo = until;
      for (const [id, createdAt] of part.given) if (createdAt < until) part.given.delete(id);
    }
  }

  /** Which events belong to an organization, the API alone decides. */
  async #storedIds(since: Instant, until: Instant): Promise<readonly string[]> {
    const { environment, filter, comparer } = this.#parts;
    const { events, organizationId } = filter.current;
    return organizationId === undefined ? comparer.storedIds(environment, { since, until, events }) : [];
  }

  #refused(began: Beginning, since: Instant, until: Instant): void {
    const { forgotten } = this.#findings;
    if (!forgotten.some((range) => range.since === since)) forgotten.push({ since, until });
    began.edge = laterOf(began.edge, until);
  }

  /** An API may pass over what it does not keep without a word. */
  #tellForgotten(): void {
    const { since, until } = this.#options;
    const { forgotten } = this.#findings;
    const edge = this.#began?.edge;
    if (edge === undefined || since >= edge || forgotten.length > 0) return;
    forgotten.push({ since, until: [until, edge, this.#oldest ?? edge].reduce(earlierOf) });
  }
}
