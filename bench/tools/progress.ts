import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import type { BenchMirror } from "./mirror.ts";

/** How many rows were visible, so many ms after the process was started. */
interface Sample {
  atMs: number;
  rows: number;
}

export interface Progress {
  samples: Sample[];
  /** All rows were there before the time was up. */
  isComplete: boolean;
}

const everyMs = 50;

/** The same, for those who only want it to be over. */
export async function untilRows(url: string, mirror: BenchMirror, rows: number, limitMs = 120_000): Promise<void> {
  const { isComplete } = await watchRows(url, mirror, rows, limitMs);
  if (!isComplete) throw new Error(`there were not ${rows} rows after ${limitMs / 1000} s:\n${mirror.endOfLog()}`);
}

/** Looks on from a connection of its own until so many rows are visible, or until the time is up. */
export async function watchRows(url: string, mirror: BenchMirror, rows: number, limitMs: number): Promise<Progress> {
  const client = new pg.Client(url);
  await client.connect();
  const samples: Sample[] = [{ atMs: 0, rows: 0 }];
  try {
    for (;;) {
      const seen = await lookAt(client, rows);
      const atMs = performance.now() - mirror.startedAt;
      samples.push({ atMs, rows: seen });
      if (seen >= rows) return { samples, isComplete: true };
      if (atMs > limitMs) return { samples, isComplete: false };
      if (mirror.hasEnded) throw new Error(`the mirror ended with ${seen} of ${rows} rows:\n${mirror.endOfLog()}`);
      await delay(everyMs);
    }
  } finally {
    await client.end();
  }
}

/** max(seq) costs nothing, but seq may have holes: the last word has count(*). */
async function lookAt(client: pg.Client, rows: number): Promise<number> {
  const highest = await numberOf(client, "select max(seq) from workos.events");
  return highest < rows ? highest : numberOf(client, "select count(*) from workos.events");
}

async function numberOf(client: pg.Client, query: string): Promise<number> {
  try {
    const { rows } = await client.query<[string | null]>({ text: query, rowMode: "array" });
    return Number(rows[0]?.[0] ?? 0);
  } catch (error) {
    if (error instanceof pg.DatabaseError && error.code === "42P01") return 0; // not migrated yet
    throw error;
  }
}

/** Rows per second from start to end. */
export function wholeRate({ samples }: Progress): number {
  const last = samples.at(-1);
  return last === undefined ? Number.NaN : (last.rows / last.atMs) * 1000;
}

/**
 * Rows per second between 20 % and 80 % of what was reached, as many whole windows of the limiter as fit in there: from
 * the mean number of rows in the first of them to that in the last. So it does not matter whether the limiter spends its
 * requests evenly or all at once, nor that rows come by many pages at a time.
 */
export function steadyRate({ samples }: Progress, windowMs: number): number {
  const reached = samples.at(-1)?.rows ?? 0;
  const from = samples.find(({ rows }) => rows >= 0.2 * reached)?.atMs ?? 0;
  const to = samples.find(({ rows }) => rows >= 0.8 * reached)?.atMs ?? 0;
  const windows = Math.floor((to - from) / windowMs);
  if (windows < 2) return ((rowsAt(samples, to) - rowsAt(samples, from)) / (to - from)) * 1000;
  const awayMs = (windows - 1) * windowMs;
  const grown = meanRows(samples, from + awayMs, windowMs) - meanRows(samples, from, windowMs);
  return (grown / awayMs) * 1000;
}

/** How many rows there were on average in the `lengthMs` after `fromMs`. */
function meanRows(samples: readonly Sample[], fromMs: number, lengthMs: number): number {
  let sum = 0;
  for (const [place, { atMs, rows }] of samples.entries()) {
    const untilMs = Math.min(samples[place + 1]?.atMs ?? atMs, fromMs + lengthMs);
    sum += rows * Math.max(0, untilMs - Math.max(atMs, fromMs));
  }
  return sum / lengthMs;
}

function rowsAt(samples: readonly Sample[], atMs: number): number {
  return samples.findLast((sample) => sample.atMs <= atMs)?.rows ?? 0;
}
