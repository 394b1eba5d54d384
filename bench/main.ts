import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { startEmbeddedPostgres } from "../test/support/embedded-postgres.ts";
import { eventByEvent } from "./event-by-event.ts";

// How fast `sync` is beside the script that people write first: the same API, the same Postgres, in turn in one run.

const EVENTS = 20_000;
const ROUNDS = 3;
const KEY = "sk_test_simulated";

const file = (path: string) => fileURLToPath(new URL(path, import.meta.url));

interface Round {
  mirror: number;
  eventByEvent: number;
}

const folder = await mkdtemp(join(tmpdir(), "mirror-bench-"));
const postgres = await startEmbeddedPostgres({ dataDir: join(folder, "postgres"), port: 0 });
const api = await startApi();
try {
  const rounds: Round[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    rounds.push({
      mirror: await rate("mirror", (url) => runMirror(url)),
      eventByEvent: await rate("script", (url) => eventByEvent({ url, api: api.url, key: KEY })),
    });
  }
  report(rounds);
  await writeFile(file("../.data/bench.json"), `${JSON.stringify({ events: EVENTS, rounds }, null, 2)}\n`);
} finally {
  api.child.kill("SIGTERM");
  await postgres.stop();
  await rm(folder, { recursive: true });
}

/** Events per second of one run into an empty database, the start of the process included. */
async function rate(name: string, run: (url: string) => Promise<void>): Promise<number> {
  const url = new URL(postgres.url);
  const admin = new pg.Client(url.href);
  await admin.connect();
  url.pathname = `/bench_${name}`;
  await admin.query(`drop database if exists bench_${name} with (force)`);
  await admin.query(`create database bench_${name}`);
  await admin.end();
  const started = performance.now();
  await run(url.href);
  const seconds = (performance.now() - started) / 1000;
  await expectAll(url.href);
  return Math.round(EVENTS / seconds);
}

async function expectAll(url: string): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  const { rows } = await client.query<{ count: number }>("select count(*)::int from workos.events");
  await client.end();
  if (rows[0]?.count !== EVENTS) throw new Error(`${rows[0]?.count} of ${EVENTS} events were stored`);
}

async function runMirror(url: string): Promise<void> {
  const child = spawn(process.execPath, [file("../dist/main.js"), "sync"], {
    env: {
      PATH: process.env.PATH ?? "",
      WORKOS_API_KEY: KEY,
      WORKOS_BASE_URL: api.url,
      DATABASE_URL: url,
      RATE_LIMIT: "100000/1s",
      SYNC_SINCE: "29d",
    },
    stdio: ["ignore", "ignore", "inherit"],
  });
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`sync ended with exit code ${code}`);
}

async function startApi() {
  const args = ["--port", "0", "--days", "21", "--events", String(EVENTS), "--per-second", "0", "--key", KEY];
  const child = spawn(process.execPath, [file("../test/support/simulated-api-main.ts"), ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = await once(child.stdout, "data");
  const url = /http:\/\/[\d.:]+/.exec(String(line))?.[0];
  if (url === undefined) throw new Error(`the simulated API did not say where it is: ${line}`);
  return { child, url };
}

function report(rounds: readonly Round[]): void {
  const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
  const ratio = median(rounds.map(({ mirror, eventByEvent }) => mirror / eventByEvent));
  console.log(`\nevents per second, ${EVENTS} events, no latency, no rate limit, ${ROUNDS} rounds\n`);
  console.log(`  sync            ${rounds.map(({ mirror }) => mirror).join("  ")}`);
  console.log(`  event by event  ${rounds.map((round) => round.eventByEvent).join("  ")}`);
  console.log(`  ratio           ${ratio.toFixed(1)} (median)`);
}
