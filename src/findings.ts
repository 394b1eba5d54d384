import type { Difference } from "./event.ts";
import type { Instant } from "./instant.ts";

export type Wrong = Difference | "extra";

/** So many ids of each kind are remembered at the least: enough to tell of one event once, and still bounded memory. */
const REMEMBERED = 10_000;

/** What came of comparing a range with the table. */
export class Findings {
  /** Events that the API gave, each once. */
  read = 0;
  readonly counts: Record<Wrong, number> = { missing: 0, different: 0, extra: 0 };
  /** Of the extra ones: those from before what the API keeps. */
  expected = 0;
  /** Of the missing and the different ones. */
  repaired = 0;
  /** What was asked for, but lies before what the API gives. */
  readonly forgotten: { since: Instant; until: Instant }[] = [];
  readonly #most: number;
  readonly #ids: Record<Wrong, Set<string>> = { missing: new Set(), different: new Set(), extra: new Set() };

  /** `keepsAll`: its ids are to be listed in the end. */
  constructor(keepsAll: boolean) {
    this.#most = keepsAll ? Number.POSITIVE_INFINITY : REMEMBERED;
  }

  /** False when it was known already. */
  add(wrong: Wrong, id: string): boolean {
    const { different, extra } = this.#ids;
    // a row with another time than its event stands where the API gives nothing: it is one event all the same
    if (wrong === "extra" && different.has(id)) return false;
    if (wrong === "different" && extra.delete(id)) this.counts.extra -= 1;
    const ids = this.#ids[wrong];
    if (ids.has(id)) return false;
    if (ids.size < this.#most) ids.add(id);
    this.counts[wrong] += 1;
    return true;
  }

  /** Those that are remembered, in order. */
  list(wrong: Wrong): string[] {
    return [...this.#ids[wrong]].sort();
  }

  /** Whether the table holds just what the API gives. */
  get isClean(): boolean {
    const { missing, different, extra } = this.counts;
    return missing + different + extra === 0;
  }

  /** Whether it holds all that the API gives, at least by now. */
  get isComplete(): boolean {
    return this.counts.missing + this.counts.different <= this.repaired;
  }
}
