import { setImmediate, setTimeout } from "node:timers/promises";
import Bottleneck from "bottleneck";

export interface RateLimit {
  requests: number;
  perMs: number;
}

export interface LimitedRequest {
  signal: AbortSignal;
  /** Goes behind the others, and leaves so many places of each window to them. */
  background?: { leave: number } | undefined;
}

/** Runs `request` as soon as the limit allows; rejects with the signal's reason when that comes first. */
export type Limiter = <T>(request: () => Promise<T>, how: LimitedRequest) => Promise<T>;

/** How long a request that was given up may still be on its way to the server. */
const ON_ITS_WAY_MS = 1_000;
/** The server's clock may be a little slower than ours. */
const CLOCKS_DIFFER_MS = 2;
/** The share of the places that background requests have to leave, at most. */
const MOST_LEFT = 0.25;
const URGENT = 4;
const BACKGROUND = 6;

/**
 * At most `requests` in ANY sliding window of `perMs`, as the server counts them. A reservoir that is refilled every
 * `perMs` would let twice as many through around each refill; so each place is given back on its own, `perMs` after its
 * request came to the server at the latest.
 */
export function createLimiter({ requests, perMs }: RateLimit): Limiter {
  const all = withPlaces(requests);
  const background = withPlaces(requests);
  const arrivalOf = watchAnswers();
  let left = 0;

  const leave = (places: number) => {
    const allowed = Math.min(places, Math.floor(requests * MOST_LEFT));
    if (allowed !== left) void background.incrementReservoir(left - allowed);
    left = allowed;
  };

  return async (request, how) => {
    how.signal.throwIfAborted();
    const taken = how.background === undefined ? [all] : [all, background];
    const giveBack = () => {
      for (const places of taken) void places.incrementReservoir(1);
    };
    const giveBackAt = (ms: number) => void reach(ms).then(giveBack);
    const send = async () => {
      if (how.signal.aborted) {
        giveBack();
        throw how.signal.reason;
      }
      const sentAt = performance.now();
      const sent = request();
      sent.then(
        async () => {
          const latestArrival = arrivalOf(performance.now() - sentAt);
          await reach(sentAt + perMs); // by then, more is known of how long answers take
          giveBackAt(sentAt + latestArrival() + perMs + CLOCKS_DIFFER_MS);
        },
        () => giveBackAt(performance.now() + perMs + ON_ITS_WAY_MS),
      );
      return sent;
    };
    if (how.background === undefined) return untilStopped(all.schedule({ priority: URGENT }, send), how.signal);
    leave(how.background.leave);
    const inTurn = () => all.schedule({ priority: BACKGROUND }, send);
    return untilStopped(background.schedule(inTurn), how.signal);
  };
}

/** Bottleneck rests for a millisecond four times a job, by timers: 5 ms of each request. Its turns need no time. */
function withPlaces(reservoir: number): Bottleneck {
  const places = new Bottleneck({ reservoir });
  const { _store: store } = places as unknown as { _store?: { yieldLoop?: () => Promise<void> } };
  if (store?.yieldLoop !== undefined) store.yieldLoop = () => setImmediate();
  return places;
}

/** A timer counts from when its turn of the event loop began, which may be a while ago. It keeps no process alive. */
async function reach(ms: number): Promise<void> {
  for (let leftMs = ms - performance.now(); leftMs > 0; leftMs = ms - performance.now()) {
    await setTimeout(Math.ceil(leftMs), undefined, { ref: false });
  }
}

/** So many answers are looked back at; until there are many, a request may have come just before its answer. */
const WATCHED = 100;
const FEWEST_WATCHED = 50;
/** The fastest answer, too, spent some time on its way to the server. */
const FASTEST_WAY_MS = 30;

/**
 * Takes how long an answer took, and answers what tells, whenever it is asked, how many milliseconds after it was sent
 * that request came to the server at the latest: the server needs some time to answer, and of the fastest answer, then
 * or now, it is known that nearly all of it may have been that.
 */
function watchAnswers(): (tookMs: number) => () => number {
  const recent: number[] = [];
  return (tookMs) => {
    recent.push(tookMs);
    if (recent.length > WATCHED) recent.shift();
    const fastestThen = Math.min(...recent);
    return () => {
      if (recent.length < FEWEST_WATCHED) return tookMs;
      return tookMs - Math.max(0, Math.min(fastestThen, ...recent) - FASTEST_WAY_MS);
    };
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
