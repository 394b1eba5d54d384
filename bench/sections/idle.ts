import { setTimeout as delay } from "node:timers/promises";
import type pg from "pg";
import { BenchApi } from "../api/api.ts";
import type { Bench } from "../bench.ts";
import type { Section } from "../tools/figures.ts";
import { BenchMirror } from "../tools/mirror.ts";
import { onDatabase } from "../tools/postgres.ts";
import { untilRows } from "../tools/progress.ts";
import { cpuSeconds, residentMB } from "../tools/usage.ts";

const events = 2_000;
/** A mirror that has reached the head gives back its memory, and takes some of it again in the polls that follow. */
const settleMs = 30_000;

interface Look {
  atMs: number;
  cpu: number;
  resident: number;
  transactions: number;
  wal: number;
}

export async function idle(bench: Bench): Promise<Section> {
  const seconds = bench.seconds ?? 60;
  await using api = await BenchApi.start({ count: events, days: 21, spread: "uniform" }, { latencyMs: 20 });
  await using database = await bench.postgres.createDatabase();
  await using mirror = new BenchMirror("run", {
    folder: bench.postgres.folder,
    env: { ...api.env, DATABASE_URL: database.url, HTTP_HOST: "127.0.0.1", HTTP_PORT: "0" },
  });
  await untilRows(database.url, mirror, events);
  await onDatabase(database.url, (client) => client.query("vacuum analyze"));
  await bench.postgres.run("checkpoint");
  await delay(settleMs);
  // from another database, so that looking is not counted
  const look = (client: pg.Client) => lookAt(client, mirror.pid, new URL(database.url).pathname.slice(1));
  const before = await onDatabase(bench.postgres.url, look);
  await api.reset();
  await delay(seconds * 1_000);
  const { requests } = await api.tell();
  const after = await onDatabase(bench.postgres.url, look);
  const elapsed = (after.atMs - before.atMs) / 1_000;
  await mirror.stop();
  return {
    title: `a mirror at the head for ${seconds} s in which nothing happens, POLL_INTERVAL=1s, HTTP on`,
    figures: [
      {
        name: "processor",
        unit: "% of a core",
        values: [(100 * (after.cpu - before.cpu)) / elapsed],
        target: { atMost: 0.5 },
      },
      { name: "HTTP requests", unit: "per poll", values: [requests / elapsed], target: { atMost: 1.02 } },
      {
        name: "transactions",
        unit: "per poll",
        values: [(after.transactions - before.transactions) / elapsed],
        target: { atMost: 1.1 },
        note: "by pg_stat_database; the server's own, such as autovacuum's, count as well",
      },
      {
        name: "WAL written by its connections",
        unit: "bytes",
        values: [after.wal - before.wal],
        target: { atMost: 0 },
      },
      { name: "memory", unit: "MB", values: [after.resident] },
      { name: "memory, growth", unit: "MB", values: [after.resident - before.resident], target: { atMost: 1 } },
    ],
  };
}

async function lookAt(client: pg.Client, pid: number, database: string): Promise<Look> {
  const { rows } = await client.query<{ transactions: number; wal: number }>(
    `select
       (select (xact_commit + xact_rollback)::float8 from pg_stat_database where datname = $1) as transactions,
       (
         select coalesce(sum(wal.wal_bytes), 0)::float8
         from pg_stat_activity, pg_stat_get_backend_wal(pid) as wal
         where datname = $1
       ) as wal`,
    [database],
  );
  const { transactions = Number.NaN, wal = Number.NaN } = rows[0] ?? {};
  return { atMs: performance.now(), cpu: cpuSeconds(pid), resident: residentMB(pid), transactions, wal };
}
