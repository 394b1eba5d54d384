import { earlierOf, type Instant, instantOf, msOf } from "./instant.ts";
import { Trouble } from "./trouble.ts";

/** A clock further ahead than this is not taken for the present. */
export const DISAGREEMENT_MS = 86_400_000;

/** The API's present, which is what its windows and its retention go by, beside this machine's own. */
export class ApiClock {
  readonly #ownMs: () => number;
  #skewMs = 0;

  constructor(ownMs: () => number = Date.now) {
    this.#ownMs = ownMs;
  }

  /** As the API sees it; by our clock until it has answered once. */
  now(): Instant {
    return instantOf(this.#ownMs() + this.#skewMs);
  }

  /** Answers how many milliseconds further the API's clock is ahead than was thought. */
  learn(apiTime: Instant): number {
    const before = this.#skewMs;
    this.#skewMs = msOf(apiTime) - this.#ownMs();
    return this.#skewMs - before;
  }

  get skewMs(): number {
    return this.#skewMs;
  }

  /** What both clocks have passed: a Date header made up on the way must not lead beyond the present. */
  passed(apiTime: Instant): Instant {
    return earlierOf(apiTime, instantOf(this.#ownMs()));
  }

  /** Throws when the API's clock is days ahead of ours, and `isTrue` of its present only. */
  requireAgreement(apiTime: Instant, isTrue: (now: Instant) => boolean): void {
    const own = instantOf(this.#ownMs());
    const isAhead = msOf(apiTime) - msOf(own) > DISAGREEMENT_MS;
    if (!isAhead || !isTrue(apiTime) || isTrue(own)) return;
    throw new Trouble(`this machine's clock (${own}) and the API's (${apiTime}) are days apart`, {
      kind: "passing",
      code: "clocks_disagree",
      hint: "set this machine's clock, or find out what changes the Date header of the API's answers",
    });
  }
}
