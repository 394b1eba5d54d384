import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type Bench, setUp } from "../support/bench.ts";
import type { LogLine, MirrorProcess } from "../support/mirror-process.ts";
import { expectCursorNotAhead, expectMirrored } from "../support/mirrored.ts";
import { OwnPostgres } from "../support/own-postgres.ts";
import { TcpProxy } from "../support/tcp-proxy.ts";
import { until } from "../support/wait.ts";

// What goes wrong with Postgres is told once and waited out, and nothing is lost by it.

/** The first line about trouble. Events come in while it lasts. */
async function told(bench: Bench, mirror: MirrorProcess, cause: () => Promise<unknown>): Promise<LogLine> {
  await mirror.says("caught up");
  await cause();
  bench.api.emit(5);
  return mirror.line(isTrouble);
}

const isTrouble = ({ msg }: LogLine) => /^(failing|refused)/.test(msg);

/** Expects the trouble to have been told in one line, and everything to be as if it had not been. */
async function expectRecovered(mirror: MirrorProcess, bench: Bench): Promise<void> {
  await mirror.says("recovered");
  await expectStored(bench);
  expect(mirror.log.filter(isTrouble)).toHaveLength(1);
}

async function expectStored({ api, database }: Bench, pool = database.pool): Promise<void> {
  const stored = async () => (await pool.query("select count(*)::int as count from workos.events")).rows[0].count;
  await until(async () => ((await stored()) >= api.events.length ? true : undefined), "all events");
  await expectMirrored(pool, api.events);
  await expectCursorNotAhead(pool);
}

/** Until /status tells of it: one line of the log stands for all that is in the way, one after the other. */
async function untilLastErrorIs(mirror: MirrorProcess, what: string): Promise<void> {
  const http = await mirror.http();
  const status = async () => JSON.stringify(await (await fetch(`${http}/status`)).json());
  await until(async () => ((await status()).includes(what) ? true : undefined), what);
}

async function endSessions({ database }: Bench): Promise<void> {
  await database.pool.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where application_name like 'workos-events-mirror%' and datname = current_database()`,
  );
}

// ---- The server is gone, or another one ---------------------------------------------------------------------------

test.concurrent("a server that is killed and started again", async () => {
  await using server = await OwnPostgres.start();
  await using bench = await setUp(250, server.database());
  const mirror = bench.run();
  expect(await told(bench, mirror, () => server.kill())).toMatchObject({ level: "warn", code: "postgres_failing" });
  await server.startAgain();
  await expectRecovered(mirror, bench);
});

test.concurrent("a failover to a server that lacks what was committed last", async () => {
  await using server = await OwnPostgres.start();
  await using bench = await setUp(250, server.database());
  await bench.start(["sync"]).exit;
  await using other = await server.copy();
  await using proxy = await TcpProxy.start(server.url);
  const mirror = bench.run({ DATABASE_URL: proxy.url });
  await mirror.says("caught up");
  bench.api.emit(50);
  await bench.storedAll();
  proxy.turnTo(other.url);
  await server.kill();
  await using database = other.database();
  await expectStored(bench, database.pool); // so soon that there may have been nothing to tell
});

test.concurrent("a server whose name can't be found", async () => {
  const folder = await mkdtemp(join(tmpdir(), "mirror-names-"));
  const names = join(folder, "names");
  await using server = await OwnPostgres.start();
  await using bench = await setUp(50, server.database());
  const mirror = bench.run({
    DATABASE_URL: server.urlOf({ hostname: "db.test" }),
    NODE_OPTIONS: `--import ${new URL("../support/names.ts", import.meta.url).href}`,
    NAMES_FILE: names,
  });
  expect(await mirror.says("failing")).toMatchObject({
    level: "warn",
    code: "postgres_failing",
    msg: "failing: Postgres: getaddrinfo ENOTFOUND db.test",
  });
  await writeFile(names, "");
  await expectRecovered(mirror, bench);
  await rm(folder, { recursive: true });
});

test.concurrent("a connection that leads into a black hole is noticed within half a minute", async () => {
  await using server = await OwnPostgres.start();
  await using proxy = await TcpProxy.start(server.url);
  await using bench = await setUp(50, server.database());
  const mirror = bench.run({ DATABASE_URL: proxy.url });
  const began = performance.now();
  const line = await told(bench, mirror, async () => proxy.swallow());
  expect(line).toMatchObject({ level: "warn", code: "postgres_failing" });
  expect(performance.now() - began).toBeLessThan(30_000);
  proxy.recover();
  await expectRecovered(mirror, bench);
}, 90_000);

// ---- The server does not do what it is asked ----------------------------------------------------------------------

test.concurrent("a server that only reads", async () => {
  await using server = await OwnPostgres.start();
  await using bench = await setUp(50, server.database());
  const mirror = bench.run();
  const line = await told(bench, mirror, () => server.configure({ default_transaction_read_only: "on" }));
  expect(line).toMatchObject({
    level: "error",
    code: "postgres_refused",
    whatToDo: "the server is read-only: point DATABASE_URL at the primary",
  });
  await server.configure({ default_transaction_read_only: "off" });
  await expectRecovered(mirror, bench);
});

test.concurrent("a standby, before anything was migrated", async () => {
  await using server = await OwnPostgres.start();
  await server.stop();
  await server.put("standby.signal", "");
  await server.startAgain();
  await using bench = await setUp(50, server.database());
  const mirror = bench.run();
  expect(await mirror.says("refused")).toMatchObject({ whatToDo: expect.stringContaining("read-only") });
  await server.query("select pg_promote()");
  await expectRecovered(mirror, bench);
});

test.concurrent("a statement that takes longer than statement_timeout allows", async () => {
  await using server = await OwnPostgres.start();
  await using bench = await setUp(50, server.database());
  const mirror = bench.run({ HTTP_PORT: "0" });
  const blocker = await bench.database.pool.connect();
  const line = await told(bench, mirror, async () => {
    await server.query("alter role postgres set statement_timeout = 200");
    await blocker.query("begin; lock table workos.events");
    await endSessions(bench);
  });
  expect(line).toMatchObject({ level: "warn", code: "postgres_failing" });
  await untilLastErrorIs(mirror, "canceling statement due to statement timeout (SQLSTATE 57014)");
  await blocker.query("rollback");
  blocker.release();
  await expectRecovered(mirror, bench);
});

test.concurrent("a deadlock", async () => {
  await using server = await OwnPostgres.start({ deadlock_timeout: "3s" });
  await using bench = await setUp(50, server.database());
  const mirror = bench.run();
  const blocker = await bench.database.pool.connect();
  const line = await told(bench, mirror, async () => {
    await blocker.query("begin; set local deadlock_timeout = '1min'; select from workos.cursors for update");
    bench.api.emit(5);
    await until(async () => ((await bench.waitingForLocks()) > 0 ? true : undefined), "a write that waits");
    // for the lock of all writers, which the mirror has: it gives way, because it is the first to look for a deadlock
    await blocker.query("select pg_advisory_xact_lock(5276001002)");
    await blocker.query("rollback");
    blocker.release();
  });
  expect(line).toMatchObject({ level: "warn", msg: "failing: Postgres: deadlock detected (SQLSTATE 40P01)" });
  await expectRecovered(mirror, bench);
});

test("a serialization failure", async () => {
  await using bench = await setUp(50);
  const mirror = bench.run();
  // nothing that the mirror does meets one by itself; a trigger of the user's own may
  const line = await told(bench, mirror, () =>
    bench.database.pool.query(`
      create function fail() returns trigger language plpgsql as
        $$ begin raise exception 'could not serialize access' using errcode = '40001'; end $$;
      create trigger fail before insert on workos.events execute function fail()`),
  );
  expect(line).toMatchObject({ level: "warn", msg: "failing: Postgres: could not serialize access (SQLSTATE 40001)" });
  await bench.database.pool.query("drop trigger fail on workos.events");
  await expectRecovered(mirror, bench);
});

test.concurrent("a server that has too many connections", async () => {
  await using server = await OwnPostgres.start();
  await using bench = await setUp(50, server.database());
  await server.query(
    "create role mirror login password 'mirror-password'; grant create on database postgres to mirror",
  );
  const url = server.urlOf({ username: "mirror", password: "mirror-password" });
  const mirror = bench.run({ DATABASE_URL: url, HTTP_PORT: "0" });
  const line = await told(bench, mirror, async () => {
    await server.query("alter role mirror connection limit 0");
    await endSessions(bench);
  });
  expect(line).toMatchObject({ level: "warn", code: "postgres_failing" });
  await untilLastErrorIs(mirror, `too many connections for role \\"mirror\\" (SQLSTATE 53300)`);
  await server.query("alter role mirror connection limit -1");
  await expectRecovered(mirror, bench);
});

test.concurrent("a disk that is full", async ({ skip }) => {
  await using server = await OwnPostgres.start();
  const disk = await server.smallDisk(40);
  if ("refusal" in disk) return skip(`no disk can be mounted that is soon full: ${disk.refusal}`);
  await server.query(`create tablespace small location '${disk.path}'`);
  await server.query("create database small tablespace small");
  await using bench = await setUp(50, server.database("small"));
  const { pool } = bench.database;
  const mirror = bench.run();
  const line = await told(bench, mirror, async () => {
    await pool.query("create table filler (data text); alter table filler alter data set storage external");
    const fill = "insert into filler select repeat('x', 1000000) from generate_series(1, 5)";
    for (;;) if ((await pool.query(fill).catch(() => true)) === true) break;
    const rest = "insert into filler values (repeat('x', 1000))";
    for (;;) if ((await pool.query(rest).catch(() => true)) === true) break;
    bench.api.emit(500);
  });
  expect(line).toMatchObject({
    level: "warn",
    msg: expect.stringMatching(/No space left on device \(SQLSTATE 53100\)$/),
  });
  await pool.query("drop table filler");
  await expectRecovered(mirror, bench);
});
