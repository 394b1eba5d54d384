import type pg from "pg";
import { onDatabase } from "./postgres.ts";

interface Index {
  name: string;
  definition: string;
}

/**
 * Makes a table of so many rows out of the events that are there: the same ones again, each time `days` earlier and with
 * ids of that time, as a mirror has them that has been collecting for years. Organizations stay, objects come and go;
 * their ids are of their time as well, so that new ones lie beside each other in the index.
 */
export async function enlarge(url: string, rows: number, days: number): Promise<void> {
  await onDatabase(url, async (client) => {
    const { rows: counted } = await client.query<{ count: number }>("select count(*)::int as count from workos.events");
    const copies = Math.ceil(rows / (counted[0]?.count ?? 1));
    const indexes = await dropIndexes(client);
    await client.query("set synchronous_commit = off");
    for (const definition of functions) await client.query(definition);
    // the oldest first, as they would have come
    for (let copy = copies; copy > 0; copy -= 1) await client.query(copyOf(copy, days));
    await client.query("delete from workos.events where mirrored_at <> 'epoch'");
    for (const { definition } of indexes) await client.query(definition);
    await client.query("vacuum (analyze) workos.events");
    await client.query("checkpoint");
  });
}

async function dropIndexes(client: pg.Client): Promise<Index[]> {
  const { rows } = await client.query<Index>(`
    select format('%I.%I', schemaname, indexname) as name, indexdef as definition
    from pg_indexes
    where schemaname = 'workos' and tablename = 'events'
      and not exists (select from pg_constraint where conindid = format('%I.%I', schemaname, indexname)::regclass)`);
  for (const { name } of rows) await client.query(`drop index ${name}`);
  return rows;
}

const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/** Of each of a ULID's ten digits of time, how far it is shifted. */
const timeBits = [45, 40, 35, 30, 25, 20, 15, 10, 5, 0];

const functions = [
  // a ULID of that time, with 16 characters that depend on the text alone
  `create function pg_temp.id_of(at timestamptz, text text) returns text language sql immutable as $$
    select 'event_' || ${timeDigits("(extract(epoch from at) * 1000)::bigint")} || upper(substr(md5(text), 1, 16))
  $$`,
  // the same ULID, whatever its prefix is, so many milliseconds earlier
  `create function pg_temp.earlier(id text, milliseconds bigint) returns text language sql immutable as $$
    select left(id, -26) || ${timeDigits("(time - milliseconds)")} || right(id, 16)
    from (select ${timeOf("right(id, 26)")} as time) as ulid
  $$`,
];

function timeDigits(milliseconds: string): string {
  return timeBits.map((bits) => `substr('${alphabet}', ((${milliseconds} >> ${bits}) & 31)::int + 1, 1)`).join(" || ");
}

function timeOf(ulid: string): string {
  const digit = (at: number) => `(strpos('${alphabet}', substr(${ulid}, ${at + 1}, 1)) - 1)::bigint`;
  return timeBits.map((bits, at) => `(${digit(at)} << ${bits})`).join(" + ");
}

function copyOf(copy: number, days: number): string {
  const shift = `interval '${copy * days} days'`;
  return `
    insert into workos.events
      (id, event, created_at, organization_id, object_id, data, context, environment, extra, mirrored_at)
    select pg_temp.id_of(created_at - ${shift}, id || '${copy}'), event, created_at - ${shift}, organization_id,
      pg_temp.earlier(object_id, ${copy * days * 86_400_000}), data, context, environment, extra, 'epoch'
    from workos.events
    where mirrored_at <> 'epoch'
    order by created_at`;
}
