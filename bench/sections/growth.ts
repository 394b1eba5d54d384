import { BenchApi } from "../api/api.ts";
import type { Bench } from "../bench.ts";
import type { Section } from "../tools/figures.ts";
import { enlarge } from "../tools/large-table.ts";
import { BenchMirror, migrate } from "../tools/mirror.ts";
import { onDatabase } from "../tools/postgres.ts";

const events = 20_000;
const template = 200_000;
const days = 21;
const pages = events / 100;

export async function growth(bench: Bench): Promise<Section> {
  const rounds = bench.rounds ?? 7;
  const rows = Number(process.env.BENCH_GROWTH_ROWS ?? 10_000_000);
  await using large = await bench.postgres.createDatabase();
  await using empty = await bench.postgres.createDatabase();
  await fill(bench, large.url, rows);
  await migrate(bench.postgres.folder, empty.url);
  const times = { large: [] as number[], empty: [] as number[] };
  // the first round, which nobody counts, brings both tables' indexes into memory
  for (let round = 0; round <= rounds; round += 1) {
    await using api = await BenchApi.start({ count: events, days, spread: "uniform", seed: 100 + round });
    const isOdd = round % 2 === 1;
    for (const which of isOdd ? (["large", "empty"] as const) : (["empty", "large"] as const)) {
      const time = await pageTime(bench, api, which === "large" ? large.url : empty.url, which === "empty");
      if (round > 0) times[which].push(time);
    }
  }
  const ratios = times.large.map((time, round) => (100 * time) / (times.empty[round] ?? Number.NaN) - 100);
  return {
    title: `${events} new events in pages of 100 into a table of ${rows.toLocaleString("en")} rows and into an empty one, in turn, ${rounds} rounds`,
    figures: [
      { name: "a page, empty table", unit: "ms", values: times.empty },
      { name: "a page, large table", unit: "ms", values: times.large },
      { name: "large table, more than empty by", unit: "%", values: ratios, target: { atMost: 10 } },
    ],
  };
}

async function fill(bench: Bench, url: string, rows: number): Promise<void> {
  await using api = await BenchApi.start({ count: Math.min(template, rows / 2), days, spread: "uniform" });
  await sync(bench, api, url);
  await enlarge(url, rows, days);
}

/** From the first request to the end of the process. */
async function pageTime(bench: Bench, api: BenchApi, url: string, empties: boolean): Promise<number> {
  await onDatabase(url, async (client) => {
    await client.query("delete from workos.cursors");
    if (empties) await client.query("truncate workos.events");
  });
  await bench.postgres.run("checkpoint");
  await api.reset();
  await sync(bench, api, url);
  const endedMs = performance.timeOrigin + performance.now();
  const { firstArrivalMs } = await api.tell();
  return (endedMs - (firstArrivalMs ?? endedMs)) / pages;
}

async function sync(bench: Bench, api: BenchApi, url: string): Promise<void> {
  const env = { ...api.env, DATABASE_URL: url, RATE_LIMIT: "100000/1s" };
  await new BenchMirror("sync", { folder: bench.postgres.folder, env }).done();
}
