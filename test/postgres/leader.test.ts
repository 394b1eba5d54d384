import { afterAll, expect, test, vi } from "vitest";
import { Leader, type LeaderEvents, lockName } from "../../src/postgres/leader.ts";
import { TcpProxy } from "../support/tcp-proxy.ts";
import { createTestDatabase } from "../support/test-database.ts";
import { until } from "../support/wait.ts";

const shared = createTestDatabase();
afterAll(async () => (await shared).drop());

const production = lockName("production", "*");

/** A replica, which gives its lock up at the end of the test. */
async function replica(name = production, applicationName = "replica", events: LeaderEvents = {}) {
  const { url } = await shared;
  return new Replica({ url, applicationName }, name, events);
}

class Replica extends Leader implements AsyncDisposable {
  [Symbol.asyncDispose] = () => this.release();
}

/** Ends the sessions of a replica, as a server that restarts would. */
async function endSessions(applicationName: string): Promise<void> {
  const { pool } = await shared;
  const { rows } = await pool.query<{ ended: boolean }>(
    "select pg_terminate_backend(pid) as ended from pg_stat_activity where application_name = $1",
    [`${applicationName} lock`],
  );
  expect(rows).toEqual([{ ended: true }]);
}

const untilItHolds = (expected: boolean, leader: Leader) =>
  vi.waitFor(async () => expect(await leader.hold()).toBe(expected), { timeout: 10_000, interval: 5 });

test("one of several replicas leads, and stays the leader", async () => {
  await using first = await replica();
  await using second = await replica();
  await using third = await replica();
  const leads = [];
  for (const leader of [first, second, third, second, first]) leads.push(await leader.hold());
  expect(leads).toEqual([true, false, false, false, true]);
});

test("of replicas that ask at the same time one leads", async () => {
  await using first = await replica();
  await using second = await replica();
  await using third = await replica();
  const leads = await Promise.all([first.hold(), second.hold(), third.hold()]);
  expect(leads.sort()).toEqual([false, false, true]);
});

test("mirrors with another environment or filter do not wait for each other", async () => {
  await using first = await replica();
  await using staging = await replica(lockName("staging", "*"));
  await using filtered = await replica(lockName("production", "organization_id=org_1"));
  expect([await first.hold(), await staging.hold(), await filtered.hold()]).toEqual([true, true, true]);
});

test("another replica takes over from one that was asked to stop", async () => {
  await using first = await replica();
  await using second = await replica();
  await first.hold();
  await second.hold();
  await first.release();
  await untilItHolds(true, second);
  expect(await first.hold()).toBe(false);
});

test("releasing twice, or without the lock, does no harm", async () => {
  await using first = await replica();
  await first.release();
  expect(await first.hold()).toBe(true);
  await first.release();
  await first.release();
  await untilItHolds(true, first);
});

test("a leader whose connection dies notices, and another replica takes over", async () => {
  await using first = await replica(production, "first");
  await using second = await replica();
  await first.hold();
  await second.hold();
  await endSessions("first");
  await untilItHolds(true, second);
  await untilItHolds(false, first);
});

test("a leader whose connection dies leads again where nobody else does", async () => {
  await using first = await replica(production, "first");
  await first.hold();
  await endSessions("first");
  const { pool } = await shared;
  const sessions = "select count(*)::int as count from pg_stat_activity where application_name = 'first lock'";
  await vi.waitFor(async () => {
    expect(await first.hold()).toBe(true);
    expect((await pool.query(sessions)).rows).toEqual([{ count: 1 }]);
  }, 10_000);
});

test("a replica that stands by comes back after a lost connection", async () => {
  await using first = await replica();
  await using second = await replica(production, "second");
  await first.hold();
  await second.hold();
  await endSessions("second");
  // The first try may meet the end of the old connection.
  await vi.waitFor(async () => expect(await second.hold()).toBe(false), 10_000);
  await first.release();
  await untilItHolds(true, second);
});

test("a server that can't be reached is passing trouble", async () => {
  const url = Object.assign(new URL((await shared).url), { hostname: "127.0.0.1", port: "1" }).href;
  await using leader = new Replica({ url, applicationName: "replica" }, production);
  const refused = { name: "Trouble", kind: "passing", message: "Postgres: connect ECONNREFUSED 127.0.0.1:1" };
  await expect(leader.hold()).rejects.toMatchObject(refused);
  await expect(leader.hold()).rejects.toMatchObject(refused);
});

test.concurrent("a replica whose connection hangs gives it up, and asks on a new one", async () => {
  const name = lockName("hangs", "*");
  await using proxy = await TcpProxy.start((await shared).url);
  await using leader = new Replica({ url: proxy.url, applicationName: "replica" }, name);
  await using first = await replica(name);
  await first.hold();
  expect(await leader.hold()).toBe(false);

  proxy.swallow();
  await expect(leader.hold()).rejects.toMatchObject({ kind: "passing", message: "Postgres: Query read timeout" });
  proxy.recover();
  await first.release();
  await untilItHolds(true, leader);
});

// ---- The lease --------------------------------------------------------------------------------------------------

const lost = {
  name: "Trouble",
  kind: "passing",
  message: "Postgres: the connection that holds the lock is lost, and nothing is written without it",
};

test.concurrent("a leader that is cut off stops before another one can begin", async () => {
  const name = lockName("cut off", "*");
  await using proxy = await TcpProxy.start((await shared).url);
  const told: string[] = [];
  const events = { onLost: () => told.push("lost") };
  await using first = new Replica({ url: proxy.url, applicationName: "first" }, name, events);
  await using second = await replica(name);
  expect(await first.hold()).toBe(true);
  expect(await second.hold()).toBe(false);
  const work = first.asLeader(() => new Promise((_, reject) => void vi.waitUntil(() => told[0], 20_000).then(reject)));
  proxy.swallow();
  await expect(work).rejects.toMatchObject(lost);
  expect(await second.hold()).toBe(false);
  await expect(first.asLeader(async () => "written")).rejects.toMatchObject(lost);
  await untilItHolds(true, second);
  expect(told).toEqual(["lost"]);
});

test.concurrent("a leader that is at rest for longer than its lease goes on to lead", async () => {
  const { pool } = await shared;
  const name = lockName("at rest", "*");
  await using first = await replica(name, "at rest");
  await using second = await replica(name);
  await first.hold();
  const heardAfterMore = async () => {
    const { rows } = await pool.query(
      "select from pg_stat_activity where application_name = 'at rest lock' and state_change > backend_start + '16 s'",
    );
    return rows[0];
  };
  await until(heardAfterMore, "the lock to be confirmed after more than a lease");
  expect(await second.hold()).toBe(false);
  expect(await first.asLeader(async () => "written")).toBe("written");
});

test("who is no leader writes nothing", async () => {
  await using first = await replica();
  let isWritten = false;
  const write = () => first.asLeader(async () => (isWritten = true));
  await expect(write()).rejects.toMatchObject(lost);
  await first.hold();
  expect(await write()).toBe(true);
  isWritten = false;
  await first.release();
  await expect(write()).rejects.toMatchObject(lost);
  expect(isWritten).toBe(false);
});

test("what fails for another reason than the lock is told as it is", async () => {
  await using first = await replica();
  await first.hold();
  await expect(first.asLeader(() => Promise.reject(new Error("a deadlock")))).rejects.toThrow("a deadlock");
});

test("a lock that is given up while it is being asked for is not kept", async () => {
  await using first = await replica();
  await using second = await replica();
  const asking = first.hold().catch(() => false);
  await first.release();
  expect(await asking).toBe(false);
  await untilItHolds(true, second);
});
