import Bottleneck from "bottleneck";

export interface RateLimit {
  requests: number;
  perMs: number;
}

/** Runs `request` as soon as the limit allows; rejects with the signal's reason when that comes first. */
export type Limiter = <T>(request: () => Promise<T>, signal: AbortSignal) => Promise<T>;

/** How long a request that was given up may still be on its way to the server. */
const ON_ITS_WAY_MS = 1_000;
/** A timer may be early by a fraction of a millisecond. */
const EARLY_MS = 1;

/**
 * At most `requests` in ANY sliding window of `perMs`, as the server counts them. A reservoir that is refilled every
 * `perMs` would let twice as many through around each refill; so each place is given back on its own, `perMs` after its
 * request was answered: whatever held it up on the way, it had arrived by then. One request at a time, as the mirror
 * sends them, loses at most one answer's time in each `perMs` by that.
 */
export function createLimiter({ requests, perMs }: RateLimit): Limiter {
  const bottleneck = new Bottleneck({ reservoir: requests });
  const giveBack = () => void bottleneck.incrementReservoir(1);
  const giveBackAfter = (ms: number) => void setTimeout(giveBack, ms + EARLY_MS).unref();
  return async (request, signal) => {
    signal.throwIfAborted();
    const answer = bottleneck.schedule(async () => {
      if (signal.aborted) {
        giveBack();
        throw signal.reason;
      }
      const sent = request();
      sent.then(
        () => giveBackAfter(perMs),
        () => giveBackAfter(perMs + ON_ITS_WAY_MS),
      );
      return sent;
    });
    return untilStopped(answer, signal);
  };
}

/** Settles as `answer` does, or rejects with the signal's reason when that comes first. */
async function untilStopped<T>(answer: Promise<T>, signal: AbortSignal): Promise<T> {
  let stop = () => {};
  const stopped = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason);
  });
  // The timers that give places back don't keep the process alive; who waits for a place does.
  const alive = setInterval(() => {}, 60_000);
  signal.addEventListener("abort", stop, { once: true });
  try {
    return await Promise.race([answer, stopped]);
  } finally {
    clearInterval(alive);
    signal.removeEventListener("abort", stop);
  }
}
