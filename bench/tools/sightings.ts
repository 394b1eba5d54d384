import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";

/** When a row was in the hands of another reader of the database: so its transaction was committed. */
export interface Sighting {
  createdMs: number;
  seenMs: number;
}

/** A notification that never comes must not hide a row. */
const lookAgainMs = 25;

/** Reads every new row as soon as a NOTIFY tells of it, on a connection of its own, until the signal. */
export async function watchArrivals(url: string, signal: AbortSignal): Promise<Sighting[]> {
  const client = new pg.Client(url);
  await client.connect();
  const sightings: Sighting[] = [];
  try {
    await client.query("listen workos_events");
    let last = await lastSeq(client);
    while (!signal.aborted) {
      const { rows } = await client.query<{ seq: string; created: number }>(
        "select seq, extract(epoch from created_at)::float8 * 1000 as created from workos.events where seq > $1 order by seq",
        [last],
      );
      const seenMs = Date.now();
      for (const { seq, created } of rows) {
        sightings.push({ createdMs: created, seenMs });
        last = seq;
      }
      if (rows.length === 0) await nudge(client);
    }
    return sightings;
  } finally {
    await client.end();
  }
}

async function lastSeq(client: pg.Client): Promise<string> {
  const { rows } = await client.query<{ last: string }>("select coalesce(max(seq), 0) as last from workos.events");
  return rows[0]?.last ?? "0";
}

async function nudge(client: pg.Client): Promise<void> {
  const done = new AbortController();
  const told = once(client, "notification", { signal: done.signal }).catch(() => undefined);
  await Promise.race([told, delay(lookAgainMs, undefined, { signal: done.signal }).catch(() => undefined)]);
  done.abort();
}
