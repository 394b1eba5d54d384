import { setImmediate } from "node:timers/promises";
import Bottleneck from "bottleneck/light.js";

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

/** A place whose request came to its end, and still counts for the server. */
interface Used {
  isBackground: boolean;
  /** By then the request had come to the server. */
  arrivedBy: number;
  /** How long the fastest answer took, as far as that was known then. */
  fastestMs: number;
}

/**
 * At most `requests` in ANY sliding window of `perMs`, as the server counts them. A reservoir that is refilled every
 * `perMs` would let twice as many through around each refill; so each place is given back on its own, `perMs` after its
 * request came to the server at the latest.
 */
export function createLimiter({ requests, perMs }: RateLimit): Limiter {
  const all = withPlaces(requests);
  const background = withPlaces(requests);
  const answers = new Answers();
  /** In the order in which they came to their end: there may be many, so only the first ones are looked at. */
  const used: Used[] = [];
  /** Requests that hold a place or wait for one. */
  let open = 0;
  let left = 0;
  /** Of many requests that are made in one turn of the event loop, none is on its way before the last one is made. */
  let turn: Promise<void> = Promise.resolve();
  let timer: NodeJS.Timeout | undefined;

  const leave = (places: number) => {
    const allowed = Math.min(places, Math.floor(requests * MOST_LEFT));
    if (allowed !== left) void background.incrementReservoir(left - allowed);
    left = allowed;
  };

  const take = (isBackground: boolean) => {
    void all.incrementReservoir(-1);
    if (isBackground) void background.incrementReservoir(-1);
  };

  const giveBack = (places: readonly Pick<Used, "isBackground">[]) => {
    if (places.length === 0) return;
    open -= places.length;
    void all.incrementReservoir(places.length);
    const behind = places.filter(({ isBackground }) => isBackground).length;
    if (behind > 0) void background.incrementReservoir(behind);
  };

  const giveBackWhatIsDue = () => {
    const now = performance.now();
    const leftMs = ({ arrivedBy, fastestMs }: Used) =>
      arrivedBy - answers.notOnTheWayMs(fastestMs) + perMs + CLOCKS_DIFFER_MS - now;
    const firstLeft = used.findIndex((place) => leftMs(place) > 0);
    giveBack(used.splice(0, firstLeft < 0 ? used.length : firstLeft));
    clearTimeout(timer);
    const [next] = used;
    // an idle process is not woken for places that nobody waits for
    if (next === undefined || open <= requests - left) return;
    timer = setTimeout(giveBackWhatIsDue, Math.ceil(leftMs(next))).unref();
  };

  return async (request, how) => {
    how.signal.throwIfAborted();
    const isBackground = how.background !== undefined;
    const use = (arrivedBy: number, fastestMs: number) => {
      used.push({ isBackground, arrivedBy, fastestMs });
      giveBackWhatIsDue();
    };
    const send = async () => {
      if (how.signal.aborted) {
        giveBack([{ isBackground }]);
        throw how.signal.reason;
      }
      const sentAt = performance.now();
      const sent = request();
      sent.then(
        () => use(performance.now(), answers.note(performance.now() - sentAt)),
        () => use(performance.now() + ON_ITS_WAY_MS, 0),
      );
      return sent;
    };
    if (how.background !== undefined) leave(how.background.leave);
    open += 1;
    giveBackWhatIsDue();
    if (open <= requests - (isBackground ? left : 0)) {
      take(isBackground); // there is one for each of those that are open: to go through the queue would take a timer
      turn = turn.then(() => setImmediate());
      return untilStopped(turn.then(send), how.signal);
    }
    if (!isBackground) return untilStopped(all.schedule({ priority: URGENT }, send), how.signal);
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

/** So many answers are looked back at; until there are many, a request may have come just before its answer. */
const WATCHED = 100;
const FEWEST_WATCHED = 50;
/** The fastest answer, too, spent some time on its way to the server. */
const FASTEST_WAY_MS = 30;

/**
 * How long the last answers took, in milliseconds. The server needs some time to answer, and of the fastest answer it is
 * known that nearly all of it may have been that.
 */
class Answers {
  readonly #recent: number[] = [];
  #fastestMs = 0;

  /** Tells of the fastest one, this one included. */
  note(tookMs: number): number {
    this.#recent.push(tookMs);
    if (this.#recent.length > WATCHED) this.#recent.shift();
    this.#fastestMs = Math.min(...this.#recent);
    return this.#fastestMs;
  }

  /** So much of an answer's time, its request was not on its way any more; given the fastest one that was known then. */
  notOnTheWayMs(fastestMs: number): number {
    if (this.#recent.length < FEWEST_WATCHED) return 0;
    return Math.max(0, Math.min(fastestMs, this.#fastestMs) - FASTEST_WAY_MS);
  }
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
