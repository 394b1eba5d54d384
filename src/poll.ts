import { setTimeout as delay } from "node:timers/promises";
import { type Failure, withRetry } from "./retry.ts";

/** What a step says of itself: whether to rest after it, and how long if not as long as usual. */
export interface Rest {
  rest: boolean;
  restMs?: number;
}

export interface PollOptions<S extends Rest> {
  step: (signal: AbortSignal) => Promise<S>;
  /** From the beginning of one poll to the beginning of the next. */
  intervalMs: number;
  /** Return instead of resting, and throw a refusal instead of asking again. */
  once: boolean;
  signal: AbortSignal;
  onStep: (step: S) => void;
  onFailure: (failure: Failure) => void;
}

/** WHEN a step is made: at once while there is more, after a rest at the head, after a backoff when something failed. */
export async function poll<S extends Rest>(options: PollOptions<S>): Promise<void> {
  const { intervalMs, once, signal, onStep, onFailure } = options;
  let began = performance.now();
  while (!signal.aborted) {
    const turn = async () => {
      const step = await options.step(signal);
      onStep(step); // here, since what was done is told even when the signal came meanwhile
      return step;
    };
    const step = await withRetry(turn, { signal, refused: once ? "throw" : "ask again", onFailure });
    if (!step.rest) continue;
    if (once) return;
    await delay(Math.max(0, began + (step.restMs ?? intervalMs) - performance.now()), undefined, { signal });
    began = performance.now();
  }
}
