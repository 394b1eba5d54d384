import { addMs, earlierOf, type Instant } from "./instant.ts";
import type { Pass } from "./pass.ts";

export interface SweepOptions {
  intervalMs: number;
  /** How late an event may turn up to be found. */
  windowMs: number;
}

/**
 * When the recent past is read once more: what turned up within the window behind a cursor is found by reading from that
 * much before the last sweep's end.
 */
export class Sweeps {
  readonly #options: SweepOptions | undefined;
  #dueAt = 0;
  /** The last sweep ended here. */
  #sweptUpTo: Instant | undefined;

  /** Without options there are none. */
  constructor(options: SweepOptions | undefined) {
    this.#options = options;
  }

  /** Adds one to the pass when it is due. */
  begin(pass: Pass, now: Instant): void {
    if (this.#options === undefined) return;
    const { intervalMs, windowMs } = this.#options;
    // a mirror before this one is sure to have swept up to here: not within its last interval, nor beside history
    this.#sweptUpTo ??= addMs(earlierOf(pass.headBeganAt ?? now, now), -intervalMs);
    const until = pass.storedHead?.at;
    if (!pass.isHistoryDone || until === undefined || performance.now() < this.#dueAt) return;
    const from = addMs(earlierOf(this.#sweptUpTo, now), -windowMs);
    if (from < until) pass.sweep(from, until);
  }

  /** To be told of each pass that came to its end: a sweep that was broken off is not done, and made again. */
  end({ sweeps }: Pass): void {
    if (sweeps === undefined) return;
    this.#dueAt = performance.now() + (this.#options?.intervalMs ?? 0);
    this.#sweptUpTo = sweeps;
  }
}
