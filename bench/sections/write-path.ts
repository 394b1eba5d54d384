import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { BenchApi } from "../api/api.ts";
import type { Bench } from "../bench.ts";
import type { Figure, Section } from "../tools/figures.ts";
import { BenchMirror, migrate } from "../tools/mirror.ts";
import { countEvents, psql } from "../tools/postgres.ts";

const events = 30_000;
/** Those that a mirror can follow by its cursor: the peers know no windows of time. */
const days = 21;
const columns = "id, event, created_at, organization_id, object_id, data, context, environment, extra";

/** Seconds for all events, into an empty table of the program's own making. */
type Run = (url: string) => Promise<number>;

export async function writePath(bench: Bench): Promise<Section> {
  const rounds = bench.rounds ?? 5;
  await using api = await BenchApi.start({ count: events, days, spread: "uniform" });
  const { folder } = bench.postgres;
  const rows = join(folder, "events.copy");
  const sync: Run = async (url) => new BenchMirror("sync", { folder, env: environmentOf(api, url) }).done();
  const contestants: [name: string, run: Run][] = [
    ["sync", sync],
    ["SDK script, event by event", (url) => runScript("sdk-event-by-event", environmentOf(api, url))],
    ["SDK script, one insert per page", (url) => runScript("sdk-batched", environmentOf(api, url))],
    ["write path alone", async (url) => Number(await outputOf("store-alone", environmentOf(api, url)))],
    ["psql \\copy", async (url) => secondsOf(() => psql(url, `\\copy workos.events (${columns}) from '${rows}'`))],
  ];
  const rates = new Map<string, number[]>(contestants.map(([name]) => [name, []]));
  // the rows that \copy will read, and a first run that warms the machine for all of them
  await measure(bench, async (url) => {
    const seconds = await sync(url);
    psql(url, `\\copy (select ${columns} from workos.events order by seq) to '${rows}'`);
    return seconds;
  });
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, run] of contestants) rates.get(name)?.push(await measure(bench, run));
  }
  return { title: titleOf(rounds), figures: figuresOf(rates) };
}

function titleOf(rounds: number): string {
  return (
    `${events} events into an empty table with all indexes, no latency, no limit, in turn, ${rounds} rounds; ` +
    "each a process of its own whose start counts, but for the write path alone"
  );
}

/** Events per second. */
async function measure(bench: Bench, run: Run): Promise<number> {
  await using database = await bench.postgres.createDatabase();
  await migrate(bench.postgres.folder, database.url);
  const seconds = await run(database.url);
  const stored = await countEvents(database.url);
  if (stored !== events) throw new Error(`${stored} of ${events} events were stored`);
  return events / seconds;
}

function environmentOf(api: BenchApi, url: string): Record<string, string> {
  return { ...api.env, DATABASE_URL: url, RATE_LIMIT: "100000/1s" };
}

async function runScript(name: string, env: Record<string, string>): Promise<number> {
  return secondsOf(() => outputOf(name, env));
}

async function secondsOf(work: () => unknown): Promise<number> {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
}

async function outputOf(name: string, env: Record<string, string>): Promise<string> {
  const program = fileURLToPath(new URL(`../peers/${name}.ts`, import.meta.url));
  const child = spawn(process.execPath, [program], {
    env: { PATH: process.env.PATH ?? "", ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.on("data", (chunk) => {
    output += chunk;
  });
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`${name} ended with exit code ${code}`);
  return output;
}

function figuresOf(rates: ReadonlyMap<string, readonly number[]>): Figure[] {
  const of = (name: string) => rates.get(name) ?? [];
  const ratio = (name: string, peer: string, scale = 1) =>
    of(name).map((rate, round) => (scale * rate) / (of(peer)[round] ?? Number.NaN));
  const event = "SDK script, event by event";
  const batch = "SDK script, one insert per page";
  const copy = "psql \\copy";
  return [
    ...[...rates].map(([name, values]) => ({ name, unit: "events/s", values })),
    { name: "sync : SDK script, event by event", unit: "x", values: ratio("sync", event), target: { atLeast: 5 } },
    { name: "sync : SDK script, insert per page", unit: "x", values: ratio("sync", batch), target: { atLeast: 1.5 } },
    { name: "sync : \\copy", unit: "%", values: ratio("sync", copy, 100), target: { atLeast: 35 } },
    {
      name: "write path alone : \\copy",
      unit: "%",
      values: ratio("write path alone", copy, 100),
      target: { atLeast: 50 },
    },
  ];
}
