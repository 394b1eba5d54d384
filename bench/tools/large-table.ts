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
    await client.query(idFunction);
    await client.query(template);
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

/** A ULID of that time, with 16 characters that depend on the text alone. */
const idFunction = `
  create function pg_temp.id_of(at timestamptz, text text) returns text language sql immutable as $$
    select 'event_' || ${timeDigits("(extract(epoch from at) * 1000)::bigint")} || upper(substr(md5(text), 1, 16))
  $$`;

function timeDigits(milliseconds: string): string {
  const digits = [45, 40, 35, 30, 25, 20, 15, 10, 5, 0].map(
    (bits) => `substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', ((${milliseconds} >> ${bits}) & 31)::int + 1, 1)`,
  );
  return digits.join(" || ");
}

/** The events that are there, and since when there is each one's object. */
const template = `
  create temp table template as
  select *, min(created_at) over (partition by object_id) as first_at from workos.events`;

function copyOf(copy: number, days: number): string {
  const shift = `interval '${copy * days} days'`;
  return `
    insert into workos.events
      (id, event, created_at, organization_id, object_id, data, context, environment, extra, mirrored_at)
    select pg_temp.id_of(created_at - ${shift}, id || '${copy}'), event, created_at - ${shift}, organization_id,
      left(object_id, -26) || substr(pg_temp.id_of(first_at - ${shift}, ''), 7, 10) || right(object_id, 16),
      data, context, environment, extra, 'epoch'
    from template
    order by created_at`;
}
