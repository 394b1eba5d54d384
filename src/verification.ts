import { setTimeout as delay } from "node:timers/promises";
import { Comparison, type ComparisonParts } from "./comparison.ts";
import { Findings } from "./findings.ts";
import type { Instant } from "./instant.ts";
import type { News } from "./news.ts";

export interface VerificationParts extends ComparisonParts {
  /** How long what is wrong with the youngest events is given to come right by itself; 10 seconds but in tests. */
  patienceMs?: number;
}

export interface VerificationOptions {
  /** Inclusive. */
  since: Instant;
  /** Exclusive. */
  until: Instant;
  /** Whether to write what is missing or different. */
  repairs: boolean;
  /** Whether all ids are kept, to be listed in the end. */
  lists: boolean;
}

const PATIENCE_MS = 10_000;
const LOOK_AGAIN_MS = 1_000;

/** A look at the youngest events; a last one counts whatever it finds. */
interface Look {
  comparison: Comparison;
  findings: Findings;
  isLast: boolean;
}

/**
 * Compares a range with the table. A mirror at work stores the youngest events a moment later, or has stored them a
 * moment earlier, than they are seen here: they are looked at in the end, and again for a while as long as anything is
 * wrong with them.
 */
export class Verification {
  findings: Findings;
  readonly #parts: VerificationParts;
  readonly #options: VerificationOptions;
  #settled: Comparison;
  #look: Look | undefined;
  #lookedSince = 0;

  constructor(parts: VerificationParts, options: VerificationOptions) {
    this.#parts = parts;
    this.#options = options;
    this.findings = new Findings(options.lists);
    this.#settled = this.#compareSettled();
  }

  /** `rest`: all is compared. When a step failed, the next one goes on where it was. */
  async step(signal: AbortSignal): Promise<{ rest: boolean; news: readonly News[] }> {
    const comparison = this.#look?.comparison ?? this.#settled;
    const { rest, startedAgain, news } = await comparison.step(signal);
    if (startedAgain) this.#startAgain();
    return { rest: rest && (await this.#isOver(signal)), news };
  }

  /** Gives up what is being asked for. */
  stop(): void {
    (this.#look?.comparison ?? this.#settled).stop();
  }

  #startAgain(): void {
    this.findings = new Findings(this.#options.lists);
    this.#settled = this.#compareSettled();
    this.#look = undefined;
  }

  #compareSettled(): Comparison {
    return new Comparison(this.#parts, { ...this.#options, leavesYoung: true }, this.findings);
  }

  /** Where one comparison has ended, another one may have to follow. */
  async #isOver(signal: AbortSignal): Promise<boolean> {
    const { patienceMs = PATIENCE_MS } = this.#parts;
    const look = this.#look;
    if (look === undefined) {
      if (this.#settled.until >= this.#options.until) return true;
      this.#lookedSince = performance.now();
      this.#look = this.#lookAtYoung(false);
      return false;
    }
    if (look.isLast) return true;
    if (look.findings.isClean) {
      this.findings.read += look.findings.read;
      return true;
    }
    const isPatient = performance.now() - this.#lookedSince < patienceMs;
    if (isPatient) await delay(Math.min(LOOK_AGAIN_MS, patienceMs), undefined, { signal });
    this.#look = this.#lookAtYoung(!isPatient);
    return false;
  }

  #lookAtYoung(isLast: boolean): Look {
    const { until, repairs } = this.#options;
    const findings = isLast ? this.findings : new Findings(false);
    const options = { since: this.#settled.until, until, leavesYoung: false, repairs: repairs && isLast };
    return { comparison: new Comparison(this.#parts, options, findings), findings, isLast };
  }
}
