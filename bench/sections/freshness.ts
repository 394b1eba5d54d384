import { setTimeout as delay } from "node:timers/promises";
import { BenchApi } from "../api/api.ts";
import type { Bench } from "../bench.ts";
import { type Figure, percentile, type Section } from "../tools/figures.ts";
import { BenchMirror, migrate } from "../tools/mirror.ts";
import type { BenchDatabase } from "../tools/postgres.ts";
import { untilRows } from "../tools/progress.ts";
import { type Sighting, watchArrivals } from "../tools/sightings.ts";

const intervalMs = 1_000;
const latencyMs = 20;
const eventsPerSecond = 20;
const settleMs = 5_000;
const graceMs = 3_000;
/** So many rows of history are there before a mirror counts as being at the head. */
const atHead = 1_000;

export async function freshness(bench: Bench): Promise<Section> {
  const seconds = bench.seconds ?? (bench.isFull ? 60 : 30);
  const figures: Figure[] = [];
  if (bench.wants("at the head")) figures.push(...(await measure(bench, "at the head", seconds)));
  if (bench.wants("history fills in")) figures.push(...(await measure(bench, "history fills in", seconds)));
  return {
    title:
      `created until visible to another reader of the database, ${eventsPerSecond} events/s for ${seconds} s, ` +
      `POLL_INTERVAL=1s, the API answers in ${latencyMs} ms`,
    figures,
  };
}

async function measure(bench: Bench, name: "at the head" | "history fills in", seconds: number): Promise<Figure[]> {
  const isFilling = name === "history fills in";
  const count = isFilling ? 2 * 1_000 * (seconds + settleMs / 1_000) : atHead;
  const rateLimit = { requests: 100, perMs: 10_000 };
  await using api = await BenchApi.start({ count, days: 85, spread: "uniform" }, { latencyMs, rateLimit });
  await using database = await bench.postgres.createDatabase();
  await migrate(bench.postgres.folder, database.url);
  await using mirror = new BenchMirror("run", {
    folder: bench.postgres.folder,
    env: { ...api.env, DATABASE_URL: database.url, RATE_LIMIT: "100/10s", POLL_INTERVAL: "1s" },
  });
  if (!isFilling) await untilRows(database.url, mirror, count);
  await api.set({ eventsPerSecond });
  await delay(settleMs);
  const sinceMs = Date.now();
  const sightings = await watch(database, seconds * 1_000);
  const untilMs = sinceMs + seconds * 1_000;
  const created = await api.countCreated(sinceMs, untilMs);
  await mirror.stop();
  const live = sightings.filter(({ createdMs }) => createdMs >= sinceMs && createdMs < untilMs);
  return figuresOf(name, live, created, isFilling ? `while ${count} events of history were read` : "");
}

/** Those that are created last get some more time to be seen. */
async function watch(database: BenchDatabase, lengthMs: number): Promise<Sighting[]> {
  const stop = new AbortController();
  const watching = watchArrivals(database.url, stop.signal);
  await Promise.race([delay(lengthMs + graceMs), watching]);
  stop.abort();
  return watching;
}

function figuresOf(name: string, live: readonly Sighting[], created: number, note: string): Figure[] {
  const seen = live.map(({ createdMs, seenMs }) => seenMs - createdMs);
  // what was not seen at all was not fresh
  const ages = [...seen, ...Array.from({ length: created - seen.length }, () => Number.POSITIVE_INFINITY)];
  return [
    {
      name: `${name}, p50`,
      unit: "ms",
      values: [percentile(ages, 50)],
      target: { atMost: intervalMs / 2 + 50 },
      note: `${seen.length} of ${created} live events seen ${note}`,
    },
    { name: `${name}, p99`, unit: "ms", values: [percentile(ages, 99)], target: { atMost: intervalMs + 150 } },
    { name: `${name}, max`, unit: "ms", values: [Math.max(...ages)] },
  ];
}
