import { setTimeout as delay } from "node:timers/promises";
import pRetry from "p-retry";
import { messageOf, Trouble } from "./trouble.ts";

const SHORTEST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 60_000;
/** A refusal needs a person, not speed; unless it says that looking again sooner costs nothing. */
const REFUSED_WAIT_MS = 60_000;

export interface Failure {
  trouble: Trouble;
  /** Failures in a row, this one included. */
  failures: number;
  /** How long the next attempt waits. */
  waitMs: number;
}

export interface RetryOptions {
  signal: AbortSignal;
  /** Whether a refusal is asked again, once a minute if it does not say otherwise, or thrown. */
  refused: "ask again" | "throw";
  onFailure: (failure: Failure) => void;
}

/**
 * Runs `work` until it succeeds: passing trouble with exponential backoff and jitter, for ever. Rejects with a fatal
 * Trouble, with a refused one if so told, and with the signal's reason when that comes first.
 */
export function withRetry<T>(work: () => Promise<T>, { signal, refused, onFailure }: RetryOptions): Promise<T> {
  return pRetry(() => work().catch(throwTrouble(signal)), {
    retries: Number.POSITIVE_INFINITY,
    minTimeout: 0,
    signal,
    onFailedAttempt: async ({ error, attemptNumber }) => {
      if (!(error instanceof Trouble) || signal.aborted) throw error;
      if (error.kind === "fatal" || (error.kind === "refused" && refused === "throw")) throw error;
      const waitMs = waitAfter(error, attemptNumber);
      onFailure({ trouble: error, failures: attemptNumber, waitMs });
      await delay(waitMs, undefined, { signal }).catch(() => signal.throwIfAborted());
    },
  });
}

/**
 * Full jitter between the shortest wait and a ceiling that doubles up to the longest one, so that many mirrors don't
 * return in step; never before the API asked for.
 */
function waitAfter(trouble: Trouble, failures: number): number {
  if (trouble.kind === "refused") return trouble.retryAfterMs || REFUSED_WAIT_MS;
  const ceiling = Math.min(LONGEST_WAIT_MS, SHORTEST_WAIT_MS * 2 ** Math.min(failures, 10));
  const jittered = SHORTEST_WAIT_MS + Math.random() * (ceiling - SHORTEST_WAIT_MS);
  return Math.max(jittered, trouble.retryAfterMs);
}

/** What is no Trouble is a mistake of ours. It is told as loudly as any, and must not stop the mirror either. */
function throwTrouble(signal: AbortSignal): (error: unknown) => never {
  return (error) => {
    if (error instanceof Trouble || signal.aborted) throw error;
    throw new Trouble(`unexpected: ${messageOf(error)}`, {
      kind: "passing",
      code: "unexpected",
      hint: "please report it with the stack",
      cause: error,
    });
  };
}
