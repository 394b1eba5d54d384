import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { afterAll, expect, test, vi } from "vitest";
import { createLeader, type Leader, lockName } from "../../src/postgres/leader.ts";
import { createTestDatabase } from "../support/test-database.ts";

const shared = createTestDatabase();
afterAll(async () => (await shared).drop());

const production = lockName("production", "*");

/** A replica, which gives its lock up at the end of the test. */
async function replica(name = production, applicationName = "replica"): Promise<Leader & AsyncDisposable> {
  const { url } = await shared;
  const leader = createLeader({ url, applicationName }, name);
  return { ...leader, [Symbol.asyncDispose]: leader.release };
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

const until = (expected: boolean, leader: Leader) =>
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
  await until(true, second);
  expect(await first.hold()).toBe(false);
});

test("releasing twice, or without the lock, does no harm", async () => {
  await using first = await replica();
  await first.release();
  expect(await first.hold()).toBe(true);
  await first.release();
  await first.release();
  await until(true, first);
});

test("a leader whose connection dies notices, and another replica takes over", async () => {
  await using first = await replica(production, "first");
  await using second = await replica();
  await first.hold();
  await second.hold();
  await endSessions("first");
  await until(true, second);
  await until(false, first);
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
  await until(true, second);
});

test("a server that can't be reached is passing trouble", async () => {
  const { url } = await shared;
  const leader = createLeader(
    { url: Object.assign(new URL(url), { hostname: "127.0.0.1", port: "1" }).href, applicationName: "replica" },
    production,
  );
  const refused = { name: "Trouble", kind: "passing", message: "Postgres: connect ECONNREFUSED 127.0.0.1:1" };
  await expect(leader.hold()).rejects.toMatchObject(refused);
  await expect(leader.hold()).rejects.toMatchObject(refused);
  await leader.release();
});

test("a replica whose connection hangs gives it up, and asks on a new one", async () => {
  const { url } = await shared;
  const sockets: Socket[] = [];
  const proxy = createServer((socket) => {
    const onward = connect(Number(new URL(url).port || 5432), new URL(url).hostname);
    for (const each of [socket, onward]) sockets.push(each.on("error", () => undefined));
    socket.pipe(onward).pipe(socket);
  }).listen(0, "127.0.0.1");
  await once(proxy, "listening");
  const { port } = proxy.address() as AddressInfo;
  const through = Object.assign(new URL(url), { hostname: "127.0.0.1", port: String(port) });
  const leader = createLeader({ url: through.href, applicationName: "replica" }, production);
  await using first = await replica();
  await first.hold();
  expect(await leader.hold()).toBe(false);

  for (const socket of sockets) socket.unpipe().pause();
  await expect(leader.hold()).rejects.toMatchObject({ kind: "passing", message: "Postgres: Query read timeout" });
  await first.release();
  await until(true, leader);

  for (const socket of sockets) socket.destroy();
  await leader.release();
  proxy.close();
});
