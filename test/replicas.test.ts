import { describe, expect, test } from "vitest";
import { type Bench, setUp } from "./support/bench.ts";
import type { MirrorProcess } from "./support/mirror-process.ts";
import { expectCursorNotAhead, expectMirrored } from "./support/mirrored.ts";
import { hasPgBouncer, PgBouncer } from "./support/pgbouncer.ts";
import { until } from "./support/wait.ts";

const STILL = { POLL_INTERVAL: "1d" };

test("a standby is ready, says so once, and asks the API for nothing", async () => {
  await using bench = await setUp(50);
  const leader = bench.run(STILL);
  await leader.says("caught up");
  const asked = bench.api.requests.length;
  const standby = bench.run({ HTTP_PORT: "0" });
  await standby.says("standing by");
  const http = await standby.http();
  const { rows } = await bench.database.pool.query("select now()::text as now");
  const bothAskedAgain = async () => {
    const asking = "application_name like '% lock' and datname = current_database() and query_start > $1";
    const answer = await bench.database.pool.query(`select from pg_stat_activity where ${asking}`, [rows[0].now]);
    return answer.rowCount === 2 ? true : undefined;
  };
  await until(bothAskedAgain, "both to ask Postgres again");
  expect((await fetch(`${http}/readyz`)).status).toBe(200);
  expect(bench.api.requests.length).toBe(asked);
  expect(standby.log.filter(({ msg }) => msg.startsWith("standing by"))).toHaveLength(1);
});

test("takes over from a leader that was killed", async () => {
  await using bench = await setUp(50);
  const leader = bench.run();
  await leader.says("caught up");
  const standby = bench.run(STILL); // it asks for the lock more often than that
  await standby.says("standing by");
  bench.api.emit(5); // whichever of them stores these
  const took = await takeover(standby, () => leader.child.kill("SIGKILL"));
  expect(took).toBeLessThan(10_000);
  await expectMirrored(bench.database.pool, bench.api.events);
});

test("takes over from a leader that is asked to stop, without waiting for its last transaction", async () => {
  await using bench = await setUp(50);
  const leader = bench.run();
  await leader.says("caught up");
  const standby = bench.run(STILL);
  await standby.says("standing by");
  await using _ = await holdUpWrites(bench);
  bench.api.emit(5);
  await until(async () => ((await bench.waitingForLocks()) > 0 ? true : undefined), "a write that waits");
  leader.child.kill("SIGTERM");
  await until(async () => ((await bench.waitingForLocks()) > 1 ? true : undefined), "a write of the other one");
  expect(leader.child.exitCode).toBe(null);
});

test("a leader that loses its lock breaks off what it is writing", async () => {
  await using bench = await setUp(50);
  const leader = bench.run();
  await leader.says("caught up");
  {
    await using _ = await holdUpWrites(bench);
    bench.api.emit(5);
    const writing = await until(() => waitingSession(bench), "a write that waits");
    const lostAt = performance.now();
    await endLock(bench, leader);
    expect(await leader.says("failing")).toMatchObject({
      msg: "failing: Postgres: the connection that holds the lock is lost, and nothing is written without it",
      code: "postgres_failing",
    });
    expect(performance.now() - lostAt).toBeLessThan(10_000); // not only when the write itself times out, after 20 s
    // the server is told to look whether its client is still there
    const next = async () => ((await waitingSession(bench)) === writing ? undefined : true);
    await until(next, "the write to be given up");
  }
  await leader.says("recovered");
  await bench.storedAll();
  await expectMirrored(bench.database.pool, bench.api.events);
});

test("a leader that is frozen in the middle of a write, and woken after another has taken over, changes nothing", async () => {
  await using bench = await setUp(50);
  const frozen = bench.run();
  await frozen.says("caught up");
  const other = bench.run();
  await other.says("standing by");
  {
    await using _ = await holdUpWrites(bench);
    bench.api.emit(5);
    await until(async () => ((await bench.waitingForLocks()) > 0 ? true : undefined), "a write that waits");
    frozen.child.kill("SIGSTOP");
  }
  // Postgres ends the frozen one's transaction, and with its lease its lock
  await other.says("caught up");
  await bench.storedAll();
  bench.api.emit(5);
  await bench.storedAll();
  const before = await bench.database.pool.query("select * from workos.cursors");
  const written = await bench.database.pool.query("select id, seq, mirrored_at, xmin from workos.events order by seq");

  frozen.child.kill("SIGCONT");
  await frozen.says("standing by");
  expect((await bench.database.pool.query("select * from workos.cursors")).rows).toEqual(before.rows);
  const after = await bench.database.pool.query("select id, seq, mirrored_at, xmin from workos.events order by seq");
  expect(after.rows).toEqual(written.rows);
  await expectMirrored(bench.database.pool, bench.api.events);
}, 60_000);

if (!hasPgBouncer()) console.log("skipped, for want of pgbouncer: the tests of replicas behind a pooler");

describe.skipIf(!hasPgBouncer()).each(["transaction", "session"] as const)("behind PgBouncer in %s mode", (mode) => {
  test("one of two mirrors works, and says what the pooler means; the other takes over", async () => {
    await using bench = await setUp(250);
    await using bouncer = await PgBouncer.start(bench.database.url, mode);
    const stopEmitting = bench.api.emitEvery(50, 2);
    const leader = bench.run({ DATABASE_URL: bouncer.url });
    await leader.says("caught up");
    expect(await leader.line(({ code }) => code === "pooler")).toMatchObject({
      level: "warn",
      whatToDo: expect.stringContaining("past PgBouncer"),
    });
    const standby = bench.run({ DATABASE_URL: bouncer.url });
    await standby.says("standing by");
    const took = await takeover(standby, () => leader.child.kill("SIGKILL"));
    expect(took).toBeLessThan(10_000);
    stopEmitting();
    await bench.storedAll();
    await expectMirrored(bench.database.pool, bench.api.events);
    await expectCursorNotAhead(bench.database.pool);
    expect(standby.log.filter(({ code }) => code === "pooler")).toHaveLength(1);
    expect(standby.log.filter(({ level }) => level === "error")).toEqual([]);
  });
});

/** How long it takes a standby to reach the head after what ends its leader. */
async function takeover(standby: MirrorProcess, end: () => void): Promise<number> {
  const began = performance.now();
  end();
  await standby.says("caught up");
  return performance.now() - began;
}

/** Until it is disposed of, whoever writes waits. */
async function holdUpWrites({ database }: Bench): Promise<AsyncDisposable> {
  const blocker = await database.pool.connect();
  await blocker.query("begin; lock table workos.events");
  return {
    [Symbol.asyncDispose]: async () => {
      await blocker.query("rollback");
      blocker.release();
    },
  };
}

async function waitingSession({ database }: Bench): Promise<number | undefined> {
  const { rows } = await database.pool.query(
    "select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' order by query_start",
  );
  return rows[0]?.pid;
}

async function endLock({ database }: Bench, { log }: MirrorProcess): Promise<void> {
  const name = `workos-events-mirror ${log[0]?.version} lock`;
  const { rows } = await database.pool.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where application_name = $1 and datname = current_database()`,
    [name],
  );
  expect(rows).toHaveLength(1);
}
