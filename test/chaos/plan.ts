import type { SimulatedApiSettings } from "../support/simulated-api.ts";
import { SeededRandom } from "../support/simulated-random.ts";

/** What a world is like, out of its seed alone; any four seeds in a row have every kind of history. */
export interface Plan {
  seed: number;
  history: { count: number; days: number };
  /** How long the API takes for an answer as long as history is being caught up. */
  historyLatencyMs: number;
  /** Events every 50 ms, at most. */
  emission: number;
  replicas: number;
  pageSize: number;
  rules: Partial<SimulatedApiSettings>;
  /** The API answers 404 at times, upon which a mirror goes on by time, ten minutes earlier. */
  cursorMayMoveBack: boolean;
  /** As many kills as this while the history is being caught up, and as many in all. */
  killsInHistory: number;
  kills: number;
}

const HOUR = 3_600_000;

export function planOf(seed: number): Plan {
  const random = new SeededRandom(seed);
  const kind = seed % 4;
  const skewMs = random.pick([0, 0, HOUR, -HOUR]);
  return {
    seed,
    history: { count: 10_000 + random.integer(30_000), days: [9, 45, 88, 1][kind] ?? 9 },
    historyLatencyMs: 10 + random.integer(40),
    emission: random.pick([2, 8, 20]),
    replicas: kind === 3 ? 1 : 2,
    pageSize: random.pick([20, 50, 100, 100]),
    rules: {
      now: () => Date.now() + skewMs,
      latencyMs: random.integer(8),
      holdBackMs: random.pick([0, 0, 300]),
      cursorWindow: random.pick(["cursor", "present"] as const),
      order: random.pick(["honours", "ignores"] as const),
      unknownCursor: random.pick(["reject", "ignore"] as const),
    },
    cursorMayMoveBack: kind === 3,
    killsInHistory: 10,
    kills: 25,
  };
}
