import { setTimeout as delay } from "node:timers/promises";
import { BenchApi } from "../api/api.ts";
import type { Bench } from "../bench.ts";
import type { Section } from "../tools/figures.ts";
import { BenchMirror } from "../tools/mirror.ts";
import { watchRows } from "../tools/progress.ts";
import { peakMB, residentMB } from "../tools/usage.ts";

const events = 1_000_000;
/** From here on memory may not grow any more. */
const steadyFrom = 200_000;
const everyMs = 500;

interface Sample {
  atMs: number;
  resident: number;
}

export async function memory(bench: Bench): Promise<Section> {
  await using api = await BenchApi.start({ count: events, days: 85, spread: "uniform" }, { latencyMs: 50 });
  await using database = await bench.postgres.createDatabase();
  await using mirror = new BenchMirror("run", {
    folder: bench.postgres.folder,
    env: { ...api.env, DATABASE_URL: database.url, RATE_LIMIT: "100000/1s", MALLOC_ARENA_MAX: "1" },
  });
  const samples: Sample[] = [];
  const done = new AbortController();
  const sampling = sample(mirror, samples, done.signal);
  const { samples: progress } = await watchRows(database.url, mirror, events, 600_000);
  await delay(2_000);
  done.abort();
  await sampling;
  const end = residentMB(mirror.pid);
  const peak = peakMB(mirror.pid);
  await mirror.stop();
  const rowsAt = (atMs: number) => progress.find((seen) => seen.atMs >= atMs)?.rows ?? events;
  const steady = samples
    .map(({ atMs, resident }) => ({ x: rowsAt(atMs), y: resident }))
    .filter(({ x }) => x >= steadyFrom);
  return {
    title: `resident memory over ${progress.at(-1)?.rows} events without a limit, the API answers in 50 ms, MALLOC_ARENA_MAX=1 as in the image`,
    figures: [
      { name: "after all events", unit: "MB", values: [end], target: { atMost: 100 } },
      { name: "highest", unit: "MB", values: [peak], target: { atMost: 100 } },
      {
        name: "growth per 100,000 events, after 200,000",
        unit: "MB",
        values: [slopeOf(steady) * 100_000],
        target: { atMost: 1 },
        note: "least squares; a collector that comes and goes makes it tremble around zero",
      },
    ],
  };
}

async function sample(mirror: BenchMirror, samples: Sample[], signal: AbortSignal): Promise<void> {
  while (!signal.aborted && !mirror.hasEnded) {
    samples.push({ atMs: performance.now() - mirror.startedAt, resident: residentMB(mirror.pid) });
    await delay(everyMs, undefined, { signal }).catch(() => undefined);
  }
}

function slopeOf(points: readonly { x: number; y: number }[]): number {
  const mean = (pick: (point: { x: number; y: number }) => number) =>
    points.reduce((sum, point) => sum + pick(point), 0) / points.length;
  const [x, y] = [mean((point) => point.x), mean((point) => point.y)];
  return mean((point) => (point.x - x) * (point.y - y)) / mean((point) => (point.x - x) ** 2);
}
