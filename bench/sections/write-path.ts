import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { BenchApi } from "../api/api.ts";
import type { Bench } from "../bench.ts";
import { type Figure, median, type Section } from "../tools/figures.ts";
import { BenchMirror, migrate } from "../tools/mirror.ts";
import { countEvents, psql } from "../tools/postgres.ts";
import { cpuSecondsOfEndedChildren } from "../tools/usage.ts";

const events = 30_000;
/** Those that a mirror can follow by its cursor: the peers know no windows of time. */
const days = 21;
const columns = "id, event, created_at, organization_id, object_id, data, context, environment, extra";

const byEvent = "SDK script, event by event";
const byPage = "SDK script, one insert per page";
const alone = "write path alone";
const copy = "psql \\copy";

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
    [byEvent, (url) => runScript("sdk-event-by-event", environmentOf(api, url))],
    [byPage, (url) => runScript("sdk-batched", environmentOf(api, url))],
    [alone, async (url) => Number(await outputOf("store-alone", environmentOf(api, url)))],
    [copy, async (url) => secondsOf(() => psql(url, `\\copy workos.events (${columns}) from '${rows}'`))],
  ];
  const results = new Map<string, Result[]>(contestants.map(([name]) => [name, []]));
  // the rows that \copy will read, and a first run that warms the machine for all of them
  await measure(bench, async (url) => {
    const seconds = await sync(url);
    psql(url, `\\copy (select ${columns} from workos.events order by seq) to '${rows}'`);
    return seconds;
  });
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, run] of contestants) results.get(name)?.push(await measure(bench, run));
  }
  return { title: titleOf(rounds), figures: figuresOf(results) };
}

function titleOf(rounds: number): string {
  return (
    `${events} events into an empty table with all indexes, no latency, no limit, in turn, ${rounds} rounds; ` +
    "each a process of its own whose start counts, but for the write path alone"
  );
}

interface Result {
  /** Events per second. */
  rate: number;
  /** Processor time for an event; it says more than the rate when others are busy. */
  programMicros: number;
  databaseMicros: number;
}

async function measure(bench: Bench, run: Run): Promise<Result> {
  await using database = await bench.postgres.createDatabase();
  await migrate(bench.postgres.folder, database.url);
  const cpu = async () => ({ program: cpuSecondsOfEndedChildren(), database: await bench.postgres.cpuSeconds() });
  const before = await cpu();
  const seconds = await run(database.url);
  const after = await cpu();
  const stored = await countEvents(database.url);
  if (stored !== events) throw new Error(`${stored} of ${events} events were stored`);
  return {
    rate: events / seconds,
    programMicros: (1e6 * (after.program - before.program)) / events,
    databaseMicros: (1e6 * (after.database - before.database)) / events,
  };
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

function figuresOf(results: ReadonlyMap<string, readonly Result[]>): Figure[] {
  const rates = (name: string) => (results.get(name) ?? []).map(({ rate }) => rate);
  const ratio = (name: string, peer: string, scale = 1) =>
    rates(name).map((rate, round) => (scale * rate) / (rates(peer)[round] ?? Number.NaN));
  const names = [...results.keys()];
  return [
    ...names.map((name) => ({ name, unit: "events/s", values: rates(name) })),
    { name: "sync : event by event", unit: "x", values: ratio("sync", byEvent), target: { atLeast: 5 } },
    { name: "sync : one insert per page", unit: "x", values: ratio("sync", byPage), target: { atLeast: 1.5 } },
    { name: "sync : \\copy", unit: "%", values: ratio("sync", copy, 100), target: { atLeast: 35 } },
    { name: "write path alone : \\copy", unit: "%", values: ratio(alone, copy, 100), target: { atLeast: 50 } },
    ...names.map((name) => processorOf(name, results.get(name) ?? [])),
  ];
}

function processorOf(name: string, results: readonly Result[]): Figure {
  const program = median(results.map(({ programMicros }) => programMicros));
  const database = median(results.map(({ databaseMicros }) => databaseMicros));
  const reading = name === alone ? ", reading the pages into memory included" : "";
  return {
    name: `${name}, processor`,
    unit: "µs per event",
    values: results.map(({ programMicros, databaseMicros }) => programMicros + databaseMicros),
    note: `program ${program.toFixed(0)}${reading}; database ${database.toFixed(0)}`,
  };
}
