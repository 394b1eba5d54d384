import { BenchApi } from "../api/api.ts";
import type { History } from "../api/history.ts";
import type { Bench } from "../bench.ts";
import type { Figure, Section } from "../tools/figures.ts";
import { enlarge } from "../tools/large-table.ts";
import { BenchMirror, migrate } from "../tools/mirror.ts";
import { onDatabase } from "../tools/postgres.ts";
import { cpuSecondsOfEndedChildren } from "../tools/usage.ts";

const events = 40_000;
const template = 200_000;
const days = 21;
const pages = events / 100;

interface PageCost {
  ms: number;
  /** Processor time of program and database. */
  cpuMs: number;
}

export async function growth(bench: Bench): Promise<Section> {
  const rounds = bench.rounds ?? 9;
  const rows = Number(process.env.BENCH_GROWTH_ROWS ?? 10_000_000);
  await using large = await bench.postgres.createDatabase();
  await using empty = await bench.postgres.createDatabase();
  await fill(bench, large.url, rows);
  await migrate(bench.postgres.folder, empty.url);
  const costs = { large: [] as PageCost[], empty: [] as PageCost[] };
  // the first round, which nobody counts, brings both tables' indexes into memory
  for (let round = 0; round <= rounds; round += 1) {
    await using api = await BenchApi.start(eventsOf(round, rounds + 1));
    const isOdd = round % 2 === 1;
    for (const which of isOdd ? (["large", "empty"] as const) : (["empty", "large"] as const)) {
      const cost = await pageCost(bench, api, which === "large" ? large.url : empty.url, which === "empty");
      if (round > 0) costs[which].push(cost);
    }
  }
  return {
    title: `${events} new events in pages of 100 into a table of ${rows.toLocaleString("en")} rows and into an empty one, in turn, ${rounds} rounds`,
    figures: [
      ...figuresOf("a page", costs, ({ ms }) => ms, { atMost: 10 }),
      ...figuresOf("processor for a page", costs, ({ cpuMs }) => cpuMs),
    ],
  };
}

/** What a round brings is later than all that the rounds before it have brought, as it is in a mirror. */
function eventsOf(round: number, rounds: number): History {
  const share = days / rounds;
  const endedDaysAgo = days - (round + 1) * share;
  return { count: events, days: share, endedDaysAgo, spread: "uniform", seed: 100 + round };
}

function figuresOf(
  name: string,
  { large, empty }: { large: PageCost[]; empty: PageCost[] },
  pick: (cost: PageCost) => number,
  target?: { atMost: number },
): Figure[] {
  const [larges, empties] = [large.map(pick), empty.map(pick)];
  const more = larges.map((value, round) => (100 * value) / (empties[round] ?? Number.NaN) - 100);
  return [
    { name: `${name}, empty table`, unit: "ms", values: empties },
    { name: `${name}, large table`, unit: "ms", values: larges },
    { name: `${name}, large more than empty`, unit: "%", values: more, ...(target === undefined ? {} : { target }) },
  ];
}

async function fill(bench: Bench, url: string, rows: number): Promise<void> {
  await using api = await BenchApi.start({ count: Math.min(template, rows / 2), days, spread: "uniform" });
  await sync(bench, api, url);
  await enlarge(url, rows, days);
}

/** From the first request to the end of the process. */
async function pageCost(bench: Bench, api: BenchApi, url: string, empties: boolean): Promise<PageCost> {
  await onDatabase(url, async (client) => {
    await client.query("delete from workos.cursors");
    if (empties) await client.query("truncate workos.events");
  });
  await bench.postgres.run("checkpoint");
  await api.reset();
  const cpu = async () => cpuSecondsOfEndedChildren() + (await bench.postgres.cpuSeconds());
  const before = await cpu();
  await sync(bench, api, url);
  const endedMs = performance.timeOrigin + performance.now();
  const cpuMs = (1_000 * ((await cpu()) - before)) / pages;
  const { firstArrivalMs } = await api.tell();
  return { ms: (endedMs - (firstArrivalMs ?? endedMs)) / pages, cpuMs };
}

async function sync(bench: Bench, api: BenchApi, url: string): Promise<void> {
  const env = { ...api.env, DATABASE_URL: url, RATE_LIMIT: "100000/1s" };
  await new BenchMirror("sync", { folder: bench.postgres.folder, env }).done();
}
