import { once } from "node:events";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { peakMB, residentMB } from "../bench/tools/usage.ts";
import { instantOf, msOf } from "../src/instant.ts";
import { Bench, DAY, setUp } from "./support/bench.ts";
import { freePort } from "./support/free-port.ts";
import { expectCursorNotAhead, expectMirrored } from "./support/mirrored.ts";
import { type Fault, faults, startSimulatedApi } from "./support/simulated-api.ts";
import { generateEvents } from "./support/simulated-events.ts";
import { createTestDatabase } from "./support/test-database.ts";
import { until } from "./support/wait.ts";

const HOUR = 3_600_000;

test("mirrors what is there and what comes, and stops cleanly on SIGTERM", async () => {
  await using bench = await setUp(250);
  const mirror = bench.run();
  await mirror.says("caught up");
  const last = bench.api.emit(5).at(-1);
  await mirror.line(({ msg, cursor }) => msg === "stored" && cursor === last?.id);
  expect(await mirror.stop()).toEqual({ code: 0, signal: null });
  await expectMirrored(bench.database.pool, bench.api.events);
  expect(mirror.stderr).toBe("");
  expect(mirror.log.map(({ msg }) => msg)).toEqual([
    "started: run",
    "migrations applied",
    "stored",
    "caught up: every event that the API gives is stored",
    "stored",
    "stopping",
    "stopped",
  ]);
});

const onLinux = test.skipIf(process.platform !== "linux");

onLinux("gives back the memory that history took (only Linux's /proc tells)", async () => {
  await using bench = await setUp(5_000);
  const mirror = bench.run({ RATE_LIMIT: "10000/1s" });
  await mirror.says("caught up");
  const { pid = 0 } = mirror.child;
  await until(async () => (peakMB(pid) - residentMB(pid) >= 6 ? true : undefined), "memory that is given back");
});

test("sync catches up to the head once", async () => {
  await using bench = await setUp(250);
  const sync = bench.start(["sync"]);
  expect(await sync.exit).toEqual({ code: 0, signal: null });
  await expectMirrored(bench.database.pool, bench.api.events);
});

const passing: [string, Fault][] = [
  ["429", faults.tooManyRequests()],
  ["429 with Retry-After in seconds", faults.tooManyRequests({ retryAfter: 1 })],
  ["429 with Retry-After as a date", faults.tooManyRequests({ retryAfter: new Date(Date.now() + 1000) })],
  ["429 with retry_after in the body", faults.tooManyRequests({ retryAfter: "body" })],
  ["500", faults.serverError(500)],
  ["502 with HTML", faults.serverError(502, "html")],
  ["503 without a body", faults.serverError(503, "empty")],
  ["a reset", faults.reset()],
  ["a reset in the middle of the body", faults.resetMidBody()],
  ["no answer", faults.hang()],
  ["half an answer", faults.hangMidBody()],
  ["a body that drips", faults.slowDrip({ bytesPerSecond: 200 })],
  ["a truncated body", faults.truncated()],
  ["no JSON", faults.notJson()],
  ["JSON of another shape", faults.wrongShape()],
  ["the newest first", faults.descending()],
  ["the same page again", faults.stuck()],
];

test.concurrent.each(passing)("gets over %s, tells it once, and stores every event once", async (_name, fault) => {
  await using bench = await setUp(250);
  bench.api.fail(fault, { when: ({ query }) => query.get("after") !== null });
  const mirror = bench.run({ REQUEST_TIMEOUT: "1s" });
  const failing = await mirror.says("failing");
  expect(failing).toMatchObject({ level: "warn", failures: 1 });
  await mirror.says("recovered");
  await mirror.says("caught up");
  await expectMirrored(bench.database.pool, bench.api.events);
});

test("waits at least as long as Retry-After says", async () => {
  await using bench = await setUp(50);
  bench.api.fail(faults.tooManyRequests({ retryAfter: 3 }));
  const mirror = bench.run();
  await mirror.says("caught up");
  const [first, second] = bench.api.requests;
  expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThan(2990);
});

const refused: [string, Fault, string][] = [
  ["a wrong key", faults.unauthorized(), "WORKOS_API_KEY"],
  ["a key without permission", faults.forbidden(), "permission to read events"],
  ["a redirect", faults.redirect("https://elsewhere.example/events"), "WORKOS_BASE_URL"],
  ["a wrong address", faults.notFound(), "WORKOS_BASE_URL"],
];

test.concurrent.each(refused)("stays up but not ready with %s, and says what to do", async (_name, fault, advice) => {
  await using bench = await setUp(50);
  bench.api.fail(fault, { times: Number.POSITIVE_INFINITY });
  const mirror = bench.run({ HTTP_PORT: "0" });
  const line = await mirror.says("refused");
  expect(line.level).toBe("error");
  expect(line.whatToDo).toContain(advice);
  const http = await mirror.http();
  expect((await fetch(`${http}/livez`)).status).toBe(200);
  expect((await fetch(`${http}/readyz`)).status).toBe(503);
  const status = await (await fetch(`${http}/status`)).json();
  expect(status).toMatchObject({ state: "refused", last_error: { what_to_do: line.whatToDo } });
  expect(await mirror.stop()).toEqual({ code: 0, signal: null });
});

test.each(["sync", "backfill --since 7d", "check"])("%s exits with 1 when the key is refused", async (verb) => {
  await using bench = await setUp(50);
  const mirror = bench.start(verb.split(" "), { WORKOS_API_KEY: "sk_test_wrong_key" });
  expect(await mirror.exit).toEqual({ code: 1, signal: null });
  expect(mirror.stdout).toContain("check that WORKOS_API_KEY starts with sk_");
  expect(mirror.stdout + mirror.stderr).not.toContain("sk_test_wrong_key");
});

test.each([
  ["a retry wait", faults.tooManyRequests({ retryAfter: 600 })],
  ["a request without an answer", faults.hang()],
  ["a body that drips", faults.slowDrip({ bytesPerSecond: 10 })],
])("stops within seconds in the middle of %s", async (_name, fault) => {
  await using bench = await setUp(50);
  bench.api.fail(fault, { times: Number.POSITIVE_INFINITY });
  const mirror = bench.run();
  await until(async () => bench.api.requests[0], "a request");
  const asked = performance.now();
  expect(await mirror.stop()).toEqual({ code: 0, signal: null });
  expect(performance.now() - asked).toBeLessThan(5000);
});

test("a second signal ends it at once", async () => {
  await using bench = await setUp(50);
  const blocker = await bench.database.pool.connect();
  const mirror = bench.run();
  await mirror.says("caught up");
  await blocker.query("begin; lock table workos.events");
  bench.api.emit(1);
  await until(async () => ((await bench.waitingForLocks()) > 0 ? true : undefined), "a write that waits");
  mirror.child.kill("SIGTERM");
  await mirror.says("stopping");
  const asked = performance.now();
  await until(async () => (performance.now() - asked > 300 ? true : undefined), "a second signal to be another wish");
  expect(await mirror.stop("SIGTERM")).toEqual({ code: 143, signal: null });
  blocker.release(true);
});

test("loses nothing when it is killed at random moments", async () => {
  await using bench = await setUp(1500);
  const stopEmitting = bench.api.emitEvery(20, 3);
  for (const requests of [2, 4, 3, 5, 2]) {
    const mirror = bench.run({ PAGE_SIZE: "20" });
    const before = bench.api.requests.length;
    await until(async () => bench.api.requests[before + requests], "requests");
    await mirror.stop("SIGKILL");
    await expectCursorNotAhead(bench.database.pool);
  }
  stopEmitting();
  bench.run();
  await bench.storedAll();
  await expectMirrored(bench.database.pool, bench.api.events);
});

test("waits for a database that is not there yet, and says so", async () => {
  await using bench = await setUp(50);
  const port = await freePort();
  const mirror = bench.run({ DATABASE_URL: `postgres://nobody:secret-password@127.0.0.1:${port}/none` });
  const line = await mirror.says("failing: Postgres");
  expect(line.code).toBe("postgres_failing");
  expect(await mirror.stop()).toEqual({ code: 0, signal: null });
  expect(mirror.stdout + mirror.stderr).not.toContain("secret-password");
});

test("goes on by itself when Postgres ends its connections", async () => {
  await using bench = await setUp(50);
  const mirror = bench.run();
  await mirror.says("caught up");
  await bench.database.pool.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name like 'workos-events-mirror%'",
  );
  bench.api.emit(5);
  await bench.storedAll();
  await expectMirrored(bench.database.pool, bench.api.events);
});

test("one of two mirrors works, the other stands by and takes over", async () => {
  await using bench = await setUp(50);
  const first = bench.run();
  await first.says("caught up");
  const second = bench.run({ HTTP_PORT: "0", POLL_INTERVAL: "1m" }); // it asks for the lock more often than that
  await second.says("standing by");
  expect((await fetch(`${await second.http()}/readyz`)).status).toBe(200);
  bench.api.emit(5); // whichever of them stores these
  await first.stop("SIGKILL");
  await second.says("caught up");
  await expectMirrored(bench.database.pool, bench.api.events);
});

test("takes up a rotated key without a restart", async () => {
  await using bench = await setUp(50);
  const folder = await mkdtemp(join(tmpdir(), "mirror-key-"));
  const file = join(folder, "key");
  await writeFile(file, `${bench.api.apiKey}\n`);
  const mirror = bench.run({ WORKOS_API_KEY: "", WORKOS_API_KEY_FILE: file });
  await mirror.says("caught up");
  // A poll between the two changes would be refused, and the next one is a minute away: none gets an answer meanwhile.
  bench.api.fail(faults.serverError(503), { times: Number.POSITIVE_INFINITY });
  bench.api.options.apiKey = "sk_test_rotated";
  await writeFile(`${file}.new`, "sk_test_rotated\n");
  await rename(`${file}.new`, file);
  const asked = bench.api.requests.length;
  await until(async () => bench.api.requests[asked], "a request that was sent before or after, but answered now");
  bench.api.clearFaults();
  bench.api.emit(5);
  await bench.storedAll();
  expect(mirror.stdout).not.toContain("sk_test_rotated");
  await rm(folder, { recursive: true });
});

test("backfill tells what it read, and moves no cursor", async () => {
  await using bench = await setUp(250);
  await bench.start(["sync"]).exit;
  const cursor = await bench.database.pool.query("select * from workos.cursors");
  const late = bench.api.insertLate(Date.now() - 3 * DAY);
  await bench.database.pool.query("update workos.events set data = '{}' where id = $1", [bench.api.events[200]?.id]);
  const backfill = bench.start(["backfill", "--since", "10d"]);
  expect(await backfill.exit).toEqual({ code: 0, signal: null });
  expect(await backfill.says("backfill done")).toMatchObject({ read: 251, new: 1, changed: 1, unchanged: 249 });
  await expectMirrored(bench.database.pool, bench.api.events);
  expect(bench.api.events).toContain(late);
  expect((await bench.database.pool.query("select * from workos.cursors")).rows).toEqual(cursor.rows);
});

test.each([
  ["an hour ahead of", HOUR],
  ["an hour behind", -HOUR],
])("without --until a range ends at the present, though the API's clock is %s this machine's", async (_, skewMs) => {
  const now = () => Date.now() + skewMs;
  const events = generateEvents({ count: 30, from: now() - 2 * HOUR, to: now() - 1_000 });
  await using bench = new Bench(await createTestDatabase(), await startSimulatedApi({ events, now }));
  bench.api.fail(faults.serverError(503), { times: 1 });
  const since = instantOf(now() - 30 * 60_000);
  const young = bench.api.events.filter(({ timeMs }) => timeMs >= msOf(since)).length;
  expect(young).toBeGreaterThan(0);

  const backfill = bench.start(["backfill", "--since", since]);
  expect(await backfill.exit).toEqual({ code: 0, signal: null });
  expect(await backfill.says("backfill done")).toMatchObject({ read: young, new: young });
  const verify = bench.start(["verify", "--since", since, "--json"]);
  expect(await verify.exit).toEqual({ code: 0, signal: null });
  expect(JSON.parse(verify.stdout)).toMatchObject({ read: young, missing: 0, extra: 0 });
});

test("a range that begins in the future, for this machine and for the API, is refused", async () => {
  await using bench = await setUp(50);
  const backfill = bench.start(["backfill", "--since", instantOf(Date.now() + HOUR)]);
  expect(await backfill.exit).toEqual({ code: 1, signal: null });
  expect(await backfill.line(({ code }) => code === "range_in_future")).toMatchObject({ level: "fatal" });
});

test("check has a line for everything that a mirror needs", async () => {
  await using bench = await setUp(50);
  await bench.start(["migrate"]).exit;
  const check = bench.start(["check"]);
  expect(await check.exit).toEqual({ code: 0, signal: null });
  const names = check.stdout
    .trim()
    .split("\n")
    .map((line) => line.split(/ {2,}/).slice(0, 2));
  expect(names).toEqual(
    ["database", "migrations", "privileges", "API key", "filtering", "pagination"].map((name) => ["ok", name]),
  );
});

test("check names the fix for what fails", async () => {
  await using bench = await setUp(50);
  const check = bench.start(["check"]);
  expect(await check.exit).toEqual({ code: 1, signal: null });
  expect(check.stdout).toMatch(/^failed {2}migrations .*\n {8}fix: .*migrate/m);
});

test("status tells position and counts, also as JSON", async () => {
  await using bench = await setUp(50);
  await bench.start(["sync"]).exit;
  const last = bench.api.events.at(-1);
  const text = bench.start(["status"], { WORKOS_API_KEY: "" });
  expect(await text.exit).toEqual({ code: 0, signal: null });
  expect(text.stdout).toContain(`after ${last?.id}`);
  const json = bench.start(["status", "--json"], { WORKOS_API_KEY: "" });
  await json.exit;
  expect(JSON.parse(json.stdout)).toMatchObject({
    events: 50,
    quarantined_events: 0,
    gaps: 0,
    last_event: { id: last?.id },
    cursors: [{ environment: "default", filter: "*", after: last?.id }],
  });
});

test("a migration that fails stops the program with its reason", async () => {
  await using bench = await setUp(50);
  await bench.database.pool.query("create schema workos; create table workos.events (id int)");
  const mirror = bench.run();
  expect(await mirror.exit).toEqual({ code: 1, signal: null });
  const line = await mirror.says("a migration failed");
  expect(line).toMatchObject({ level: "fatal", code: "migration_failed" });
  expect(line.msg).toContain('relation "events" already exists');
});

test("a port that is taken is told in a sentence", async () => {
  await using bench = await setUp(50);
  const server = createServer().listen(0, "0.0.0.0");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" ? address?.port : undefined;
  const mirror = bench.run({ HTTP_PORT: String(port) });
  expect(await mirror.exit).toEqual({ code: 1, signal: null });
  expect(await mirror.says("HTTP can't listen")).toMatchObject({ whatToDo: "set HTTP_PORT to a free port, or to off" });
  server.close();
});

test("bad configuration exits with 2 and names every mistake, without starting anything", async () => {
  await using bench = await setUp(1);
  const mirror = bench.run({
    WORKOS_API_KEY: "",
    DATABASE_URL: "mysql://user:secret-password@host/db",
    PAGE_SIZE: "0",
  });
  expect(await mirror.exit).toEqual({ code: 2, signal: null });
  expect(mirror.stdout).toBe("");
  expect(mirror.stderr.trim().split("\n")).toEqual([
    "the configuration has 3 mistakes:",
    "  DATABASE_URL must begin with postgres:// or postgresql://",
    "  WORKOS_API_KEY (or WORKOS_API_KEY_FILE) is missing: an API key of the WorkOS dashboard, sk_…",
    "  PAGE_SIZE must be a whole number between 1 and 100",
  ]);
  expect(bench.api.requests).toEqual([]);
});

test("warns of a variable that looks like a typo", async () => {
  await using bench = await setUp(1);
  const mirror = bench.run({ WORKOS_EVENT: "user.created" });
  expect(await mirror.says("WORKOS_EVENT is not read")).toMatchObject({ level: "warn" });
});

test("never sends more requests than the limit in any window", async () => {
  await using bench = await setUp(2000);
  bench.run({ RATE_LIMIT: "20/1s", PAGE_SIZE: "20" });
  await bench.storedAll();
  expect(bench.api.maxInWindow(1000)).toBeLessThanOrEqual(20);
  expect(bench.api.maxInWindow(1000)).toBeGreaterThanOrEqual(19);
});
