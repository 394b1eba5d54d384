import { BenchApi } from "../api/api.ts";
import type { History } from "../api/history.ts";
import type { Told } from "../api/server.ts";
import type { Bench } from "../bench.ts";
import { startDelayProxy } from "../tools/delay-proxy.ts";
import type { Figure, Section } from "../tools/figures.ts";
import { BenchMirror } from "../tools/mirror.ts";
import { type Progress, steadyRate, watchRows, wholeRate } from "../tools/progress.ts";

interface Case {
  verb: "run" | "sync";
  latencyMs: number;
  /** In 10 seconds. */
  requests: number;
  spread?: History["spread"];
  /** To the database and back. */
  databaseMs?: number;
  concurrency?: "1";
  target?: number;
  /** Only with `all`. */
  isExtra?: boolean;
}

const perMs = 10_000;
const pageSize = 100;
const days = 85;

const cases: readonly Case[] = [
  { verb: "run", latencyMs: 50, requests: 100, target: 95 },
  { verb: "run", latencyMs: 200, requests: 100, target: 95 },
  { verb: "run", latencyMs: 1_000, requests: 100, target: 95 },
  { verb: "run", latencyMs: 200, requests: 500, target: 85 },
  { verb: "run", latencyMs: 200, requests: 100, spread: "bursty", target: 95 },
  { verb: "run", latencyMs: 200, requests: 500, spread: "bursty", target: 85, isExtra: true },
  { verb: "run", latencyMs: 1_000, requests: 100, spread: "bursty", isExtra: true },
  { verb: "sync", latencyMs: 50, requests: 100, target: 95, isExtra: true },
  { verb: "sync", latencyMs: 200, requests: 100, target: 95 },
  { verb: "sync", latencyMs: 1_000, requests: 100, target: 95, isExtra: true },
  { verb: "sync", latencyMs: 200, requests: 500, target: 85, isExtra: true },
  { verb: "run", latencyMs: 200, requests: 100, databaseMs: 20 },
  { verb: "run", latencyMs: 200, requests: 100, concurrency: "1" },
  { verb: "run", latencyMs: 1_000, requests: 100, concurrency: "1", isExtra: true },
];

interface Outcome {
  progress: Progress;
  told: Told;
  count: number;
}

export async function catchUp(bench: Bench): Promise<Section> {
  const seconds = bench.seconds ?? (bench.isFull ? 60 : 40);
  const figures: Figure[] = [];
  const steady = new Map<string, number>();
  for (const each of cases.filter((candidate) => bench.wants(nameOf(candidate), candidate.isExtra))) {
    const outcome = await measure(bench, each, seconds);
    steady.set(nameOf(each), steadyRate(outcome.progress, perMs));
    const shown = figuresOf(each, outcome);
    bench.tell(shown);
    figures.push(...shown);
  }
  const far = remoteRatio(steady);
  if (far !== undefined) figures.push(far);
  return {
    title:
      `${seconds} s worth of history at the limit, over ${days} days; rows per second between 20 % and 80 % of it, ` +
      "as a share of what the limit allows. Time begins with the process",
    figures,
  };
}

async function measure(bench: Bench, each: Case, seconds: number): Promise<Outcome> {
  const { verb, latencyMs, requests, spread = "uniform", databaseMs = 0, concurrency } = each;
  const count = Math.round((requests / perMs) * 1000 * pageSize * seconds);
  const rateLimit = { requests, perMs };
  await using api = await BenchApi.start({ count, days, spread }, { latencyMs, rateLimit });
  await using database = await bench.postgres.createDatabase();
  await using proxy = databaseMs > 0 ? await startDelayProxy(database.url, databaseMs / 2) : undefined;
  await using mirror = new BenchMirror(verb, {
    folder: bench.postgres.folder,
    env: {
      ...api.env,
      DATABASE_URL: proxy?.url ?? database.url,
      RATE_LIMIT: `${requests}/10s`,
      ...(concurrency === undefined ? {} : { CATCH_UP_CONCURRENCY: concurrency }),
    },
  });
  // what is too slow by so much is known well enough before its end
  const limitMs = 1000 * (concurrency === undefined ? Math.max(1.3 * seconds, seconds + 10) : 0.6 * seconds);
  const progress = await watchRows(database.url, mirror, count, limitMs);
  const told = await api.tell(rateLimit);
  await mirror.stop();
  return { progress, told, count };
}

function figuresOf(each: Case, { progress, told, count }: Outcome): Figure[] {
  const name = nameOf(each);
  const ceiling = (each.requests / perMs) * 1000 * pageSize;
  const last = progress.samples.at(-1);
  const rows = last?.rows ?? 0;
  const beyond = told.requests - told.atHead - rows / pageSize;
  const end = `${rows} of ${count} rows in ${((last?.atMs ?? 0) / 1000).toFixed(1)} s`;
  return [
    {
      name,
      unit: "%",
      values: [(100 * steadyRate(progress, perMs)) / ceiling],
      ...(each.target === undefined ? {} : { target: { atLeast: each.target } }),
      note: `of ${ceiling} events/s; ${progress.isComplete ? "" : "broken off: "}${end}`,
    },
    { name: `${name}, start included`, unit: "%", values: [(100 * wholeRate(progress)) / ceiling] },
    {
      name: `${name}, most requests in 10 s`,
      unit: "",
      values: [told.mostInWindow],
      target: { atMost: each.requests },
      note: `429: ${told.refused}; one more than the limit took ${told.shortestOverLimitMs?.toFixed(1) ?? "-"} ms at least`,
    },
    {
      name: `${name}, requests beyond the minimum`,
      unit: "%",
      values: [(100 * beyond) / (rows / pageSize)],
      // what was broken off has pages under way that are not in the table yet
      ...(progress.isComplete ? { target: { atMost: 3 } } : {}),
      note: `without ${told.atHead} polls at the head; ${told.full} full, ${told.partial} partial, ${told.empty} empty`,
    },
  ];
}

function nameOf({ verb, latencyMs, requests, spread, databaseMs, concurrency }: Case): string {
  const parts = [`${verb} ${requests}/10s ${latencyMs}ms`];
  if (spread === "bursty") parts.push("bursty");
  if (databaseMs !== undefined) parts.push(`database ${databaseMs}ms away`);
  if (concurrency !== undefined) parts.push("one page at a time");
  return parts.join(" ");
}

function remoteRatio(steady: ReadonlyMap<string, number>): Figure | undefined {
  const local = steady.get("run 100/10s 200ms");
  const remote = steady.get("run 100/10s 200ms database 20ms away");
  if (local === undefined || remote === undefined) return undefined;
  return {
    name: "database 20 ms away : local",
    unit: "%",
    values: [(100 * remote) / local],
    target: { atLeast: 80 },
  };
}
