import { setTimeout as delay } from "node:timers/promises";
import Bottleneck from "bottleneck";

export interface RateLimit {
  requests: number;
  perMs: number;
}

/** Runs `request` as soon as the limit allows; rejects with the signal's reason when that comes first. */
export type Limiter = <T>(request: () => Promise<T>, signal: AbortSignal) => Promise<T>;

/**
 * A request reaches the server at the latest when its answer begins, and in practice within this time after it was
 * sent. Counting from the earlier of the two keeps the limit full at any latency.
 */
const TRAVEL_MS = 300;

/**
 * At most `requests` in ANY sliding window of `perMs`, as the server counts them. A reservoir that is refilled every
 * `perMs` would let twice as many through around each refill; so each place is given back on its own, `perMs` after its
 * request is known to have arrived.
 */
export function createLimiter({ requests, perMs }: RateLimit): Limiter {
  const bottleneck = new Bottleneck({ reservoir: requests });
  const giveBack = () => void bottleneck.incrementReservoir(1);
  return (request, signal) =>
    bottleneck.schedule(async () => {
      if (signal.aborted) {
        giveBack();
        throw signal.reason;
      }
      const answer = request();
      void arrival(answer).then(() => setTimeout(giveBack, perMs).unref());
      return answer;
    });
}

async function arrival(answer: Promise<unknown>): Promise<void> {
  const settled = answer.then(ignore, ignore);
  await Promise.race([settled, delay(TRAVEL_MS, undefined, { ref: false })]);
}

function ignore(): void {}
