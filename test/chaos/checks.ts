import { createHash } from "node:crypto";
import type pg from "pg";
import type { SimulatedEvent } from "../support/simulated-events.ts";
import type { ChaosApi } from "./api.ts";
import type { ChaosPostgres } from "./database.ts";
import { Violation } from "./violation.ts";

/** A row of workos.cursors; a table without slices has no range_end. */
interface Cursor {
  after: string | null;
  at: string;
  range_end: string;
}

/** Microseconds are the fraction of a double. */
const ROUNDING_MS = 0.001;
/** How many events at most are named in a complaint. */
const NAMED = 5;

/**
 * The promise that has to hold at every moment: whatever no row of workos.cursors says is still to be read, is stored.
 * That covers one cursor as well as many slices of history side by side, and slices whose rows are gone already.
 */
export class CursorCheck {
  readonly #postgres: ChaosPostgres;
  readonly #api: ChaosApi;
  #found = new WeakSet<SimulatedEvent>();
  #read = 0;

  constructor(postgres: ChaosPostgres, api: ChaosApi) {
    this.#postgres = postgres;
    this.#api = api;
  }

  /** How many of the API's events the cursors have passed. */
  get read(): number {
    return this.#read;
  }

  /** The server was killed: what was found before has to be found again. */
  forget(): void {
    this.#found = new WeakSet();
  }

  /** Throws when the cursors are ahead of the data. */
  async look(): Promise<void> {
    await this.#postgres.ask(async (pool) => {
      const client = await pool.connect();
      let broken = true;
      try {
        await client.query("begin isolation level repeatable read read only");
        await this.#compare(client);
        await client.query("commit");
        broken = false;
      } finally {
        client.release(broken);
      }
    });
  }

  async #compare(client: pg.PoolClient): Promise<void> {
    const cursors = await readCursors(client);
    if (cursors.length === 0) return;
    const isUnread = unreadBy(cursors, this.#api);
    const read = this.#api.listed.filter((event, place) => !isUnread(event, place));
    this.#read = read.length;
    const unseen = read.filter((event) => !this.#found.has(event));
    const missing = await this.#missing(client, unseen);
    if (missing.length > 0) {
      const named = missing.slice(0, NAMED).map(({ id, createdAt, text }) => id || `${createdAt} ${text.slice(0, 80)}`);
      throw new Violation(
        `the cursor is ahead of the data: ${missing.length} events are not stored, such as ${named.join(", ")}; ` +
          `the cursors: ${JSON.stringify(cursors)}`,
      );
    }
    for (const event of unseen) this.#found.add(event);
  }

  async #missing(client: pg.PoolClient, events: readonly SimulatedEvent[]): Promise<SimulatedEvent[]> {
    const stored = events.filter((event) => !this.#api.isQuarantinedOnly(event));
    const quarantined = events.filter((event) => this.#api.isQuarantinedOnly(event));
    const { rows } = await client.query<{ key: string }>(
      `select key from unnest($1::text[]) as key where not exists (select from workos.events where id = key)
       union all
       select key from unnest($2::text[]) as key
       where not exists (select from workos.quarantined_events where digest = key)`,
      [stored.map(({ id }) => id), quarantined.map(({ text }) => digestOf(text))],
    );
    const missing = new Set(rows.map(({ key }) => key));
    return [
      ...stored.filter(({ id }) => missing.has(id)),
      ...quarantined.filter(({ text }) => missing.has(digestOf(text))),
    ];
  }
}

/** Whether an event of the API is one that some cursor has still before it. */
function unreadBy(cursors: readonly Cursor[], api: ChaosApi): (event: SimulatedEvent, place: number) => boolean {
  const stretches = cursors.map(({ after, at, range_end }) => ({
    behind: after === null ? undefined : placeOf(after, api),
    atMs: Number(at),
    endMs: Number(range_end),
  }));
  return (event, place) =>
    stretches.some(({ behind, atMs, endMs }) => {
      const isBehind = behind === undefined ? event.timeMs >= atMs - ROUNDING_MS : place > behind;
      return isBehind && event.timeMs < endMs + ROUNDING_MS;
    });
}

function placeOf(after: string, api: ChaosApi): number {
  const place = api.placeOf(after);
  if (place === -1) throw new Violation(`the API never gave the cursor ${after}`);
  return place;
}

async function readCursors(client: pg.PoolClient): Promise<Cursor[]> {
  const { rows: columns } = await client.query<{ name: string }>(
    `select attname as name from pg_attribute
     where attrelid = to_regclass('workos.cursors') and attnum > 0 and not attisdropped`,
  );
  if (columns.length === 0) return [];
  const sliced = columns.some(({ name }) => name === "range_end");
  const ms = (column: string) => `(extract(epoch from ${column}) * 1000)::text`;
  const { rows } = await client.query<Cursor>(
    `select after, ${ms("at")} as at, ${sliced ? ms("range_end") : "'Infinity'"} as range_end from workos.cursors`,
  );
  return rows;
}

export function digestOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
