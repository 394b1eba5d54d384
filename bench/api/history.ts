import type { EventGenerator } from "../../test/support/simulated-events.ts";
import { SeededRandom } from "../../test/support/simulated-random.ts";
import { EventLog } from "./event-log.ts";

export interface History {
  count: number;
  /** So long; WorkOS keeps 90. */
  days: number;
  /** When it ended; 0, the default: now. */
  endedDaysAgo?: number;
  /** Other events, with other ids. */
  seed?: number;
  /**
   * `bursty`: four of five events in a few hours of imports, the largest of which alone holds a quarter of all, and
   * the rest by day rather than by night. That is what cutting time into equal parts is worst at.
   */
  spread: "uniform" | "bursty";
}

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const imports = [0.25, 0.2, 0.15, 0.1, 0.05, 0.05];

export function makeHistory(history: History, generator: EventGenerator, nowMs: number): EventLog {
  const { count, days, endedDaysAgo = 0, spread } = history;
  const log = new EventLog();
  const to = nowMs - endedDaysAgo * dayMs;
  const from = to - days * dayMs;
  const random = new SeededRandom(7);
  const times = Float64Array.from({ length: count }, (_, place) =>
    spread === "uniform" ? uniform(place / count, from, to, random) : bursty(place / count, from, to, random),
  );
  for (const timeMs of times.sort()) log.append(generator.next(Math.floor(timeMs)));
  return log;
}

/** Several events of one millisecond are as usual as in the demo. */
function uniform(share: number, from: number, to: number, random: SeededRandom): number {
  const jitterMs = random.chance(0.06) ? 0 : random.fraction() * 100;
  return Math.min(to, from + share * (to - from) + jitterMs);
}

function bursty(share: number, from: number, to: number, random: SeededRandom): number {
  let begin = 0;
  for (const [place, size] of imports.entries()) {
    if (share < begin + size) {
      const start = from + ((place * 5 + 2) % imports.length) * ((to - from) / imports.length) + 11 * hourMs;
      return Math.min(to, start + random.fraction() * hourMs);
    }
    begin += size;
  }
  const at = from + random.fraction() * (to - from);
  const isNight = at % dayMs < 8 * hourMs;
  return isNight && random.chance(0.9) ? Math.min(to, at + 8 * hourMs) : at;
}
