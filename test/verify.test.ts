import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { type Bench, DAY, setUp } from "./support/bench.ts";
import { expectMirrored } from "./support/mirrored.ts";
import { OwnPostgres } from "./support/own-postgres.ts";
import { faults } from "./support/simulated-api.ts";
import { until } from "./support/wait.ts";

/** A table with one event missing, one different and one extra. */
async function setUpWrong(count = 250) {
  const bench = await setUp(count);
  expect(await bench.start(["sync"]).exit).toEqual({ code: 0, signal: null });
  const [missing = "", different = ""] = [100, 200].map((place) => bench.api.events[place]?.id);
  const { pool } = bench.database;
  await pool.query("delete from workos.events where id = $1", [missing]);
  await pool.query("update workos.events set data = '{}' where id = $1", [different]);
  await pool.query(
    `insert into workos.events (id, event, created_at, data, environment)
     values ('event_extra', 'user.created', now() - interval '5 days', '{}', 'default')`,
  );
  return { bench, missing, different };
}

async function contentOf({ database: { pool } }: Bench) {
  return (await pool.query("select *, xmin from workos.events order by seq")).rows;
}

test("verify tells what is missing, different and extra, writes nothing, and exits with 1", async () => {
  const { bench } = await setUpWrong();
  await using _ = bench;
  const before = await contentOf(bench);
  const verify = bench.start(["verify", "--since", "10d"]);
  expect(await verify.exit).toEqual({ code: 1, signal: null });
  expect(verify.log.map(({ msg }) => msg)).toEqual([
    "started: verify",
    "verify: comparing the range with the table; nothing is written",
    "verify done: events are missing or different",
    "done",
  ]);
  expect(await verify.says("verify done")).toMatchObject({
    level: "error",
    code: "incomplete",
    read: 250,
    missing: 1,
    different: 1,
    extra: 1,
    repaired: 0,
    whatToDo: "see which with --list, and write them with --repair",
  });
  expect(verify.stderr).toBe("");
  expect(await contentOf(bench)).toEqual(before);
});

test("--list names them on standard output, a line each, and logs to standard error", async () => {
  const { bench, missing, different } = await setUpWrong();
  await using _ = bench;
  const verify = bench.start(["verify", "--since", "10d", "--list"]);
  expect(await verify.exit).toEqual({ code: 1, signal: null });
  expect(verify.stdout).toBe(`missing    ${missing}\ndifferent  ${different}\nextra      event_extra\n`);
  expect(verify.stderr).toContain('"msg":"verify done: events are missing or different"');
});

test("--json prints one object and nothing else on standard output", async () => {
  const { bench, missing, different } = await setUpWrong();
  await using _ = bench;
  const range = ["--since", "2026-01-01", "--until", new Date(Date.now() - DAY).toISOString()];
  const [counts, lists] = [
    bench.start(["verify", "--json", ...range]),
    bench.start(["verify", "--json", "--list", ...range]),
  ];
  expect(await Promise.all([counts.exit, lists.exit])).toEqual(Array(2).fill({ code: 1, signal: null }));
  const read = bench.api.events.filter(({ timeMs }) => timeMs < Date.parse(range[3] ?? "")).length;
  const report = {
    environment: "default",
    filter: "*",
    since: "2026-01-01T00:00:00.000000Z",
    until: range[3]?.replace("Z", "000Z"),
    finished: true,
    read,
    missing: 1,
    different: 1,
    extra: 1,
    extra_expected: 0,
    repaired: 0,
    forgotten: [{ since: "2026-01-01T00:00:00.000000Z", until: expect.stringMatching(/^\d{4}-.*Z$/) }],
  };
  expect(JSON.parse(counts.stdout)).toEqual(report);
  const ids = { missing: [missing], different: [different], extra: ["event_extra"] };
  expect(JSON.parse(lists.stdout)).toEqual({ ...report, ids });
  expect(counts.stderr).toContain("the API does not give events of this range any more");
});

test("--repair writes what is missing or different and exits with 0; after that nothing is wrong", async () => {
  const { bench } = await setUpWrong();
  await using _ = bench;
  const repair = bench.start(["verify", "--since", "10d", "--repair"]);
  expect(await repair.exit).toEqual({ code: 0, signal: null });
  expect(await repair.says("verify done")).toMatchObject({ level: "warn", missing: 1, different: 1, repaired: 2 });
  const again = bench.start(["verify", "--since", "10d", "--json"]);
  expect(await again.exit).toEqual({ code: 0, signal: null });
  expect(JSON.parse(again.stdout)).toMatchObject({ read: 250, missing: 0, different: 0, extra: 1, repaired: 0 });
  await bench.database.pool.query("delete from workos.events where id = 'event_extra'");
  await expectMirrored(bench.database.pool, bench.api.events);
});

test("--repair that can't write everything exits with 1", async () => {
  const { bench } = await setUpWrong();
  await using _ = bench;
  await bench.database.pool.query(`
    create function nothing() returns trigger language plpgsql as 'begin return null; end';
    create trigger nothing before insert or update on workos.events for each row execute function nothing()`);
  const repair = bench.start(["verify", "--since", "10d", "--repair", "--json"]);
  expect(await repair.exit).toEqual({ code: 1, signal: null });
  expect(JSON.parse(repair.stdout)).toMatchObject({ missing: 1, different: 1, repaired: 0 });
});

test("an empty table lacks everything; a full one nothing, and extra rows are no failure", async () => {
  await using bench = await setUp(120);
  await bench.start(["migrate"]).exit;
  const empty = bench.start(["verify", "--since", "10d", "--json"]);
  expect(await empty.exit).toEqual({ code: 1, signal: null });
  expect(JSON.parse(empty.stdout)).toMatchObject({ read: 120, missing: 120, different: 0, extra: 0 });
  await bench.start(["sync"]).exit;
  await bench.database.pool.query(
    "insert into workos.events (id, event, created_at, data, environment) select 'x' || id, event, created_at, data, environment from workos.events limit 3",
  );
  const full = bench.start(["verify", "--since", "10d"]);
  expect(await full.exit).toEqual({ code: 0, signal: null });
  expect(await full.says("verify done")).toMatchObject({ level: "info", code: "complete", read: 120, extra: 3 });
});

test("finds nothing wrong beside a mirror at work", async () => {
  await using bench = await setUp(100);
  const mirror = bench.run();
  await mirror.says("caught up");
  const stopEmitting = bench.api.emitEvery(20, 1);
  for (let times = 0; times < 3; times += 1) {
    const verify = bench.start(["verify", "--since", "10d", "--json"]);
    expect(await verify.exit).toEqual({ code: 0, signal: null });
    expect(JSON.parse(verify.stdout)).toMatchObject({ missing: 0, different: 0, extra: 0 });
  }
  stopEmitting();
});

test("waits out what passes, and says so", async () => {
  const { bench } = await setUpWrong();
  await using _ = bench;
  bench.api.fail(faults.serverError(500), { times: 2 });
  const verify = bench.start(["verify", "--since", "10d", "--json"]);
  expect(await verify.exit).toEqual({ code: 1, signal: null });
  expect(verify.stderr).toContain("failing: GET /events answered 500");
  expect(JSON.parse(verify.stdout)).toMatchObject({ read: 250, missing: 1, different: 1, extra: 1 });
});

test("SIGTERM ends it early: what was found until then is told, and the exit code is 1", async () => {
  await using bench = await setUp(250);
  await bench.start(["sync"]).exit;
  bench.api.fail(faults.hang(), { times: 100, when: ({ query }) => query.has("after") });
  const verify = bench.start(["verify", "--since", "10d", "--list"]);
  await until(async () => (bench.api.pendingFaults < 100 ? true : undefined), "a request without an answer");
  expect(await verify.stop()).toEqual({ code: 1, signal: null });
  expect(verify.stderr).toContain("verify stopped before the end of the range");
});

test("verify exits with 1 and the sentence when the key is refused", async () => {
  await using bench = await setUp(50);
  await bench.start(["migrate"]).exit;
  for (const option of ["--repair", "--json"]) {
    const verify = bench.start(["verify", "--since", "7d", option], { WORKOS_API_KEY: "sk_test_wrong_key" });
    expect(await verify.exit).toEqual({ code: 1, signal: null });
    expect(option === "--json" ? verify.stderr : verify.stdout).toContain("check that WORKOS_API_KEY starts with sk_");
    expect(option === "--json" ? verify.stdout : verify.stderr).toBe("");
  }
});

test("never migrates: a database without the tables is refused with what to do", async () => {
  await using bench = await setUp(50);
  for (const options of [[], ["--repair"]]) {
    const verify = bench.start(["verify", "--since", "7d", ...options]);
    expect(await verify.exit).toEqual({ code: 1, signal: null });
    const line = await verify.line(({ level }) => level === "fatal");
    expect(line).toMatchObject({
      code: "postgres_refused",
      whatToDo: expect.stringContaining("workos-events-mirror migrate"),
    });
  }
  const { rows } = await bench.database.pool.query("select from pg_namespace where nspname = 'workos'");
  expect(rows).toEqual([]);
  expect(bench.api.requests).toEqual([]);
});

test("a role that may select from workos.events may verify; to repair it needs more, which is named", async () => {
  const { bench } = await setUpWrong();
  await using _ = bench;
  const name = `reader_${randomBytes(8).toString("hex")}`;
  const { pool, url } = bench.database;
  await pool.query(`
    create role ${name} login password 'secret';
    alter role ${name} set default_transaction_read_only = on;
    grant usage on schema workos to ${name};
    grant select on workos.events to ${name}`);
  try {
    const env = { DATABASE_URL: Object.assign(new URL(url), { username: name, password: "secret" }).href };
    const verify = bench.start(["verify", "--since", "10d", "--json"], env);
    expect(await verify.exit).toEqual({ code: 1, signal: null });
    expect(JSON.parse(verify.stdout)).toMatchObject({ read: 250, missing: 1, different: 1, extra: 1 });
    const repair = bench.start(["verify", "--since", "10d", "--repair"], env);
    expect(await repair.exit).toEqual({ code: 1, signal: null });
    const { whatToDo } = await repair.line(({ level }) => level === "fatal");
    expect(whatToDo).toContain(`grant select, insert, update on workos.events to ${name};`);
    await pool.query(`revoke all on workos.events from ${name}`);
    const refused = bench.start(["verify", "--since", "10d"], env);
    expect(await refused.exit).toEqual({ code: 1, signal: null });
    expect((await refused.line(({ level }) => level === "fatal")).msg).toContain("permission denied for table events");
  } finally {
    await pool.query(`drop owned by ${name}; drop role ${name}`);
  }
});

test("verifies on a hot standby", async () => {
  await using server = await OwnPostgres.start();
  await using bench = await setUp(250);
  const env = { DATABASE_URL: server.url };
  expect(await bench.start(["sync"], env).exit).toEqual({ code: 0, signal: null });
  await server.query("delete from workos.events where id = $1", [bench.api.events[100]?.id]);
  await server.stop();
  await server.put("standby.signal", "");
  await server.startAgain();
  expect(await server.query("select pg_is_in_recovery() as standby")).toEqual([{ standby: true }]);
  const verify = bench.start(["verify", "--since", "10d", "--json"], env);
  expect(await verify.exit).toEqual({ code: 1, signal: null });
  expect(JSON.parse(verify.stdout)).toMatchObject({ read: 250, missing: 1, different: 0, extra: 0 });
  const repair = bench.start(["verify", "--since", "10d", "--repair"], env);
  expect(await repair.exit).toEqual({ code: 1, signal: null });
  expect(await repair.line(({ level }) => level === "fatal")).toMatchObject({ code: "postgres_refused" });
});
