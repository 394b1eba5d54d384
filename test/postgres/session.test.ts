import { sql } from "drizzle-orm";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createPool, type Pool, withConnection } from "../../src/postgres/connect.ts";
import { Leader } from "../../src/postgres/leader.ts";
import { OwnPostgres } from "../support/own-postgres.ts";
import { hasPgBouncer, PgBouncer } from "../support/pgbouncer.ts";

let server: OwnPostgres;
beforeAll(async () => {
  server = await OwnPostgres.start();
});
afterAll(() => server?.[Symbol.asyncDispose]());

async function settingsOf(pool: Pool) {
  const { rows } = await withConnection(pool, (database) =>
    database.execute(sql`
      select
        current_setting('tcp_keepalives_idle') as idle,
        current_setting('tcp_keepalives_interval') as interval,
        current_setting('tcp_keepalives_count') as count,
        current_setting('tcp_user_timeout') as user_timeout,
        current_setting('client_connection_check_interval') as check_interval`),
  );
  return rows[0];
}

test("sessions ask Postgres to notice soon when this machine has gone", async () => {
  const pool = createPool({ url: server.url, applicationName: "test" });
  const asked = { idle: "5", interval: "2", count: "3", user_timeout: "10000", check_interval: "5s" };
  expect(await settingsOf(pool)).toEqual(asked);
  await pool.end();
});

test("over a socket of the same machine, where TCP has nothing to notice, they connect as well", async () => {
  const { username, password, pathname, port } = new URL(server.url);
  const url = `postgres://${username}:${password}@${pathname}?host=${server.folder}&port=${port}&sslmode=require`;
  const pool = createPool({ url, applicationName: "test" });
  expect(await settingsOf(pool)).toMatchObject({ idle: "0", check_interval: "5s" });
  await pool.end();
});

if (!hasPgBouncer()) console.log("skipped, for want of pgbouncer: the tests of sessions behind a pooler");

test.skipIf(!hasPgBouncer())("a pooler's sessions are left as they are: they serve others, too", async () => {
  await using bouncer = await PgBouncer.start(server.url, "transaction");
  const pool = createPool({ url: bouncer.url, applicationName: "test" });
  const leader = new Leader({ url: bouncer.url, applicationName: "test" }, "pooled");
  expect(await leader.hold()).toBe(true);
  expect(await settingsOf(pool)).toMatchObject({ idle: "7200", check_interval: "0" });
  await leader.release();
  await pool.end();
  const timeouts =
    "select current_setting('idle_session_timeout') as idle, count(*)::int from pg_locks where locktype = 'advisory'";
  const other = new pg.Client(bouncer.url);
  await other.connect();
  expect((await other.query(timeouts)).rows).toEqual([{ idle: "0", count: 0 }]);
  await other.end();
});

test.skipIf(!hasPgBouncer())("a pooler that refuses PGOPTIONS is told of as what it is", async () => {
  await using bouncer = await PgBouncer.start(server.url, "transaction");
  const pool = createPool({ url: `${bouncer.url}?options=-c work_mem=8MB`, applicationName: "test" });
  await expect(settingsOf(pool)).rejects.toMatchObject({
    kind: "refused",
    message: "Postgres: unsupported startup parameter: options (SQLSTATE 08P01)",
    hint: "leave out PGOPTIONS (options), or have the pooler let it pass: ignore_startup_parameters in pgbouncer.ini",
  });
  await pool.end();
});
