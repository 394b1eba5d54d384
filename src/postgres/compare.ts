import { type SQL, sql } from "drizzle-orm";
import type pg from "pg";
import type { Comparer, Difference, EventPage } from "../event.ts";
import { textArray } from "./binary-array.ts";
import { withConnection } from "./connect.ts";
import { isDataRefused } from "./errors.ts";
import { makeStorable } from "./storable.ts";
import { rowsOf, sameContent } from "./upsert.ts";

/** Looks at workos.events without writing or locking anything: a standby will do, and a role that may only select. */
export function createComparer(pool: pg.Pool): Comparer {
  return {
    requireTable: () =>
      withConnection(pool, async (database) => void (await database.execute(sql`select * from workos.events limit 0`))),

    compare: (environment, page) =>
      compare(pool, environment, page).catch(async (error: unknown) => {
        if (!isDataRefused(error)) throw error;
        const storable = await withConnection(pool, (database) => makeStorable(database, page));
        return compare(pool, environment, storable);
      }),

    storedIds: (environment, { since, until, events: types }) =>
      withConnection(pool, async (database) => {
        const { rows } = await database.execute<{ id: string }>(sql`
          with recursive ${typesOf(types)}
          select stored.id
          from types
          cross join lateral (
            select id
            from workos.events
            where events.event = types.event
              and environment = ${environment}
              and created_at >= ${since}
              and created_at < ${until}
            offset 0
          ) as stored`);
        return rows.map(({ id }) => id);
      }),
  };
}

async function compare(pool: pg.Pool, environment: string, page: EventPage): Promise<Map<string, Difference>> {
  return withConnection(pool, async (database) => {
    const { rows } = await database.execute<{ id: string; difference: Difference }>(sql`
      with page as (${rowsOf(environment, page.events)})
      select page.id, case when stored.id is null then 'missing' else 'different' end as difference
      from page
      left join workos.events as stored on stored.id = page.id
      where stored.id is null
        or not (${sameContent("stored", "page")})
      order by page.ordinality`);
    return new Map(rows.map(({ id, difference }) => [id, difference]));
  });
}

/**
 * The types whose rows are looked for, type by type, in the index on (event, created_at). The one on created_at alone
 * would be of little use: slices of history that are read side by side lie side by side in the table, too. Where all
 * types are wanted, they come out of the same index, in one step for each. Without `offset 0` the planner may choose to
 * read all of the index instead.
 */
function typesOf(types: readonly string[] | undefined): SQL {
  if (types !== undefined) return sql`types (event) as (select unnest(${textArray(types)}::text[]))`;
  return sql`
    types (event) as (
      (select event from workos.events order by event limit 1)
      union all
      select (select event from workos.events where event > types.event order by event limit 1)
      from types
      where types.event is not null
    )`;
}
