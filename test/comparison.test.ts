import { expect, test } from "vitest";
import { addMs, instantOf, parseInstant } from "../src/instant.ts";
import { DAY, MirrorBench, type MirrorSettings } from "./support/mirror-bench.ts";
import { expectMirrored } from "./support/mirrored.ts";
import { faults, type SimulatedApiOptions } from "./support/simulated-api.ts";
import { generateEvents, type SimulatedEvent } from "./support/simulated-events.ts";
import { VerifyBench, type VerifySettings, verify } from "./support/verifying.ts";

const nothing = { missing: 0, different: 0, extra: 0, repaired: 0, ids: { missing: [], different: [], extra: [] } };

function history(count: number, { days = 80, seed = 1, endsMsAgo = 120_000 } = {}): SimulatedEvent[] {
  const now = Date.now();
  return generateEvents({ seed, count, from: now - days * DAY, to: now - endsMsAgo });
}

/** A mirror that has read everything, without a sweep. */
async function setUp(api: SimulatedApiOptions, settings: MirrorSettings = {}): Promise<MirrorBench> {
  const bench = await MirrorBench.setUp(api, { concurrency: 8, ...settings });
  await bench.toHead();
  return bench;
}

function idsOf(events: readonly (SimulatedEvent | undefined)[]): string[] {
  return events.map((event) => event?.id ?? "").sort();
}

async function forget({ database }: MirrorBench, ids: readonly string[]): Promise<void> {
  await database.pool.query("delete from workos.events where id = any($1)", [ids]);
}

async function addRow({ database }: MirrorBench, id: string, createdAt: string, environment = "default", event = "x") {
  await database.pool.query(
    "insert into workos.events (id, event, created_at, data, environment) values ($1, $2, $3, '{}', $4)",
    [id, event, createdAt, environment],
  );
}

/** Everything by which a write would show, but for what an aborted one would leave. */
async function traces({ database: { pool } }: MirrorBench) {
  const { rows } = await pool.query("select id, seq, xmin, xmax, ctid from workos.events order by id");
  const { rows: used } = await pool.query("select last_value, is_called from workos.events_seq_seq");
  const { rows: cursors } = await pool.query("select xmin, xmax, ctid from workos.cursors");
  return { rows, used, cursors };
}

// ---- What is found ----------------------------------------------------------------------------------------------

test("finds nothing wrong with a table that holds all, and writes nothing at all", async () => {
  await using bench = await setUp({ events: history(800), latencyMs: 5 });
  const before = await traces(bench);
  expect(await verify(bench)).toMatchObject({ ...nothing, read: 800, news: [] });
  expect(await traces(bench)).toEqual(before);
});

test("finds every event that is missing, different or extra, in slices side by side", async () => {
  await using bench = await setUp({ events: history(1_000), latencyMs: 20 });
  const { events } = bench.api;
  const missing = events.filter((_, index) => index % 97 === 0);
  const different = events.filter((_, index) => index % 97 === 1);
  await forget(bench, idsOf(missing));
  await bench.database.pool.query(
    `update workos.events set data = data || '{"surely": "not there"}' where id = any($1)`,
    [idsOf(different)],
  );
  const now = Date.now();
  const extra = Array.from({ length: 40 }, (_, index) => `event_extra_${String(index).padStart(2, "0")}`);
  for (const [index, id] of extra.entries()) await addRow(bench, id, instantOf(now - (2 * index + 1) * DAY));
  const before = bench.api.requests.length;
  await using verifying = new VerifyBench(bench);
  await verifying.toEnd();
  const starts = bench.api.requests.slice(before).flatMap(({ query }) => query.get("range_start") ?? []);
  expect(new Set(starts).size).toBeGreaterThan(4);
  expect(verifying.found).toEqual({
    read: 1_000,
    missing: missing.length,
    different: different.length,
    extra: 40,
    repaired: 0,
    ids: { missing: idsOf(missing), different: idsOf(different), extra },
  });
});

const exact = `{"big":9007199254740993,"exact":1.10000000000000000001,"é":"\\u00e9","object":"user","id":"user_1"}`;

const changes = {
  "a digit beyond 2^53": `data = jsonb_set(data, '{big}', '9007199254740992')`,
  "a digit far behind the point": `data = jsonb_set(data, '{exact}', '1.10000000000000000002')`,
  "a letter that only looks the same": `data = jsonb_set(data, '{é}', U&'"e\\0301"')`,
  "a name that only looks the same": `data = (data - 'é') || jsonb_build_object(U&'e\\0301', 'é')`,
  "a member too many": `data = data || '{"x": null}'`,
  "a microsecond": `created_at = created_at + interval '1 microsecond'`,
  "its type": `event = 'user.deleted'`,
  "a context where there was none": `context = 'null'`,
  "a field without a column": `extra = '{"environment_id": "env_2"}'`,
  "the organization's id": `organization_id = 'org_1'`,
  "the object's id": `object_id = 'user_2'`,
  "its environment": `environment = 'staging'`,
};

test("a row that differs by anything is different, and right once it is repaired", async () => {
  await using bench = await setUp({ events: history(20) });
  const createdAt = new Date(Date.now() - 90_000).toISOString();
  const ids = Object.keys(changes);
  for (const id of ids) {
    bench.api.emitRaw(
      `{"object":"event","id":"${id}","event":"user.created","created_at":"${createdAt}","data":${exact},"environment_id":"env_1"}`,
    );
  }
  await bench.toHead();
  expect(await verify(bench)).toMatchObject({ ...nothing, read: 32 });
  for (const [id, change] of Object.entries(changes)) {
    const { rowCount } = await bench.database.pool.query(`update workos.events set ${change} where id = $1`, [id]);
    expect(rowCount).toBe(1);
  }
  const different = { missing: 0, different: 12, extra: 0, ids: { missing: [], different: ids.sort(), extra: [] } };
  expect(await verify(bench)).toMatchObject(different);
  expect(await verify(bench, { repairs: true })).toMatchObject({ ...different, repaired: 12 });
  expect(await verify(bench)).toMatchObject({ ...nothing, read: 32 });
});

test("a row whose time is off is one that is different, and no extra one", async () => {
  await using bench = await setUp({ events: history(300) });
  const offsets = [-30 * DAY, -3_600_000, -1, 1, 5_000, 3_600_000, 10 * DAY];
  const events = offsets.map((_, index) => bench.api.events[200 + index]);
  for (const [index, offMs] of offsets.entries()) {
    await bench.database.pool.query(
      "update workos.events set created_at = created_at + $2 * interval '1 ms' where id = $1",
      [events[index]?.id, offMs],
    );
  }
  const found = { missing: 0, different: 7, extra: 0, ids: { missing: [], different: idsOf(events), extra: [] } };
  expect(await verify(bench)).toMatchObject({ ...found, repaired: 0 });
  expect(await verify(bench, { repairs: true })).toMatchObject({ ...found, repaired: 7 });
  expect(await verify(bench)).toMatchObject({ ...nothing, read: 300 });
});

test("what the mirror made of an event that jsonb refuses is not different", async () => {
  await using bench = await setUp({ events: history(30) });
  const event = (id: string, data: string) => {
    const createdAt = new Date(Date.now() - 90_000).toISOString();
    bench.api.emitRaw(
      `{"object":"event","id":"${id}","event":"user.created","created_at":"${createdAt}","data":${data}}`,
    );
  };
  event("event_nul", `{"a":"\\u0000"}`);
  event("event_surrogate", `{"a":"\\ud800"}`);
  event("event_huge", `{"a":1e999999}`);
  event("event_list", "[1]");
  await bench.toHead();
  expect(await verify(bench)).toMatchObject({ ...nothing, read: 34 });

  await bench.database.pool.query(`update workos.events set data = '{"a": "?"}' where id = 'event_nul'`);
  await forget(bench, ["event_surrogate", "event_list"]);
  const quarantined = await bench.database.pool.query("delete from workos.quarantined_events returning event_id");
  expect(await verify(bench, { repairs: true })).toMatchObject({ missing: 2, different: 1, repaired: 3 });
  expect(await verify(bench)).toMatchObject({ ...nothing, read: 34 });
  const { rows } = await bench.database.pool.query("select event_id from workos.quarantined_events order by 1");
  expect(rows.map(({ event_id }) => event_id)).toEqual(["event_list", "event_nul", "event_surrogate"]);
  expect(quarantined.rowCount).toBe(4);
});

// ---- The range --------------------------------------------------------------------------------------------------

test("its beginning is in the range, its end is not, down to the microsecond", async () => {
  await using bench = await setUp({ events: history(40) });
  const day = Date.now() - 5 * DAY;
  const at = (micros: string) => `${new Date(day).toISOString().slice(0, 19)}.${micros}Z`;
  const times = ["000999", "001000", "001001", "500000", "900000", "900001"].map(at);
  for (const createdAt of times) await addRow(bench, `event_${createdAt}`, createdAt);
  const range = { since: at("001000"), until: at("900001") };
  expect((await verify(bench, range)).ids.extra).toEqual(times.slice(1, 5).map((time) => `event_${time}`));

  const [first, last] = [bench.api.events[10], bench.api.events[20]];
  await forget(bench, idsOf(bench.api.events.slice(5, 25)));
  const given = { since: parseInstant(first?.createdAt ?? ""), until: parseInstant(last?.createdAt ?? "") };
  const expected = bench.api.events.filter(
    ({ createdAt }) =>
      (parseInstant(createdAt) ?? "") >= (given.since ?? "") && (parseInstant(createdAt) ?? "") < (given.until ?? ""),
  );
  expect(await verify(bench, given)).toMatchObject({ read: expected.length, ids: { missing: idsOf(expected) } });
});

test.each([
  ["instants with more events than a page", 25, {}],
  ["an API that takes no old cursors", 6, { cursorWindow: "present" as const }],
])("counts every event once in spite of overlaps: %s", async (_, count, rules) => {
  const now = Date.now();
  const instants = [75, 40, 2].flatMap((days, seed) =>
    generateEvents({ seed, count, from: now - days * DAY, to: now - days * DAY + 1 }),
  );
  await using bench = await setUp({ events: [...history(400), ...instants], ...rules });
  const wrong = bench.api.events.filter((_, index) => index % 10 === 3);
  await forget(bench, idsOf(wrong));
  await addRow(bench, "event_extra", instantOf(now - 40 * DAY));
  bench.api.fail(faults.overlap({ by: 4 }), { times: 10, when: ({ query }) => query.has("after") });
  bench.api.fail(faults.duplicates(), { times: 10, when: ({ query }) => query.has("after") });
  for (const concurrency of [1, 8]) {
    expect(await verify(bench, { pageSize: 7, concurrency })).toMatchObject({
      read: 400 + 3 * count,
      missing: wrong.length,
      extra: 1,
      ids: { missing: idsOf(wrong), extra: ["event_extra"] },
    });
  }
});

test("counts every event once, though the API gives up a cursor and it goes back a little", async () => {
  await using bench = await setUp({ events: history(600, { days: 0.3 }) });
  const wrong = bench.api.events.filter((_, index) => index % 10 === 3);
  await forget(bench, idsOf(wrong));
  bench.api.fail(faults.status(400, '{"message":"no such cursor","code":"invalid_cursor"}'), {
    times: 3,
    when: ({ query }) => query.has("after") && bench.api.requests.length % 4 === 0,
  });
  const found = await verify(bench, { concurrency: 1 });
  expect(found.news.map(({ code }) => code)).toContain("cursor_rejected");
  expect(found).toMatchObject({ read: 600, missing: wrong.length, extra: 0, ids: { missing: idsOf(wrong) } });
});

test("an event that is listed some seconds later than its time says is compared like any other", async () => {
  const start = Date.now() - DAY;
  const events = generateEvents({ count: 40, from: start, to: start + 40_000 });
  await using bench = await setUp({ events });
  const id = "event_behind_its_time";
  const createdAt = new Date((events[19]?.timeMs ?? 0) - 15_000).toISOString();
  const text = `{"object":"event","id":"${id}","event":"user.created","created_at":"${createdAt}","data":{}}`;
  const timeMs = events[20]?.timeMs ?? 0;
  bench.api.emit([{ id, event: "user.created", createdAt, timeMs: timeMs - 0.001, organizationId: null, text }]);
  expect(bench.api.events[20]?.id).toBe(id); // the first of its page
  const range = { since: instantOf(start - 1000), concurrency: 1 };
  expect(await verify(bench, range)).toMatchObject({ read: 41, missing: 1, extra: 0, ids: { missing: [id] } });
  expect(await verify(bench, { ...range, repairs: true })).toMatchObject({ repaired: 1, extra: 0 });
  expect(await verify(bench, range)).toMatchObject({ ...nothing, read: 41 });
});

test("begins again when the filter has to be changed, and counts nothing twice", async () => {
  await using bench = await setUp({ events: history(600) });
  const types = [...new Set(bench.api.events.map(({ event }) => event))].sort();
  const [rejected = ""] = types;
  const others = bench.api.events.filter(({ event }) => event !== rejected);
  const [gone] = others.slice(-1);
  await forget(bench, [gone?.id ?? ""]);
  await using verifying = new VerifyBench(bench, { filter: { events: types }, concurrency: 1 });
  // no longer than that: what is read ahead of it is less than the rest
  while (verifying.found.read === 0) await verifying.step();
  bench.api.options.knownTypes = types.slice(1);
  await verifying.toEnd();
  expect(verifying.news.map(({ code }) => code)).toEqual(["event_type_rejected"]);
  expect(verifying.found).toEqual({
    ...nothing,
    read: others.length,
    missing: 1,
    ids: { ...nothing.ids, missing: [gone?.id] },
  });
});

// ---- Extra rows -------------------------------------------------------------------------------------------------

test("extra rows are those of the same environment and of the types that are asked for", async () => {
  await using bench = await setUp({ events: history(200) });
  const at = instantOf(Date.now() - 10 * DAY);
  await addRow(bench, "event_other_environment", at, "staging");
  await addRow(bench, "event_unheard_of", at, "default", "new.type");
  await addRow(bench, "event_user", at, "default", "user.created");
  expect((await verify(bench)).ids.extra).toEqual(["event_unheard_of", "event_user"]);
  const filter = { events: ["session.created", "user.created"] };
  expect((await verify(bench, { filter })).ids.extra).toEqual(["event_user"]);
  expect((await verify(bench, { environment: "staging", filter: { events: ["x"] } })).ids.extra).toEqual([
    "event_other_environment",
  ]);
});

test("extra rows are not looked for among an organization's events", async () => {
  await using bench = await setUp({ events: history(400) });
  const organizationId = bench.api.events.find((event) => event.organizationId !== null)?.organizationId ?? "";
  const read = bench.api.events.filter((event) => event.organizationId === organizationId);
  await forget(bench, idsOf(read.slice(0, 1)));
  expect(await verify(bench, { filter: { organizationId } })).toMatchObject({
    ...nothing,
    read: read.length,
    missing: 1,
    ids: { missing: idsOf(read.slice(0, 1)), extra: [] },
  });
});

test.each([
  ["refuses to go that far back", 90, { staleStart: "refuse" as const }],
  ["refuses to go even 31 days back", 30, { staleStart: "refuse" as const }],
  ["passes over it without a word", 90, { staleStart: "oldest" as const }],
])(
  "tells of what the API has forgotten, when it %s; the rows of then are expected",
  async (_, retentionDays, rules) => {
    await using bench = await setUp({ events: history(500, { days: 100 }), retentionDays: null }, { sinceDays: 101 });
    Object.assign(bench.api.options, rules, { retentionDays });
    await addRow(bench, "event_extra", instantOf(Date.now() - 10 * DAY));
    const edge = Date.now() - retentionDays * DAY;
    const forgotten = bench.api.events.filter(({ timeMs }) => timeMs < edge);
    const since = instantOf(Date.now() - 110 * DAY);
    const found = await verify(bench, { since });
    expect(found).toMatchObject({
      read: 500 - forgotten.length,
      missing: 0,
      extra: forgotten.length + 1,
      findings: { expected: forgotten.length, isComplete: true },
    });
    const { findings } = found;
    expect(findings.forgotten).toEqual([{ since, until: expect.any(String) }]);
    const offMs = Date.parse(findings.forgotten[0]?.until ?? "") - edge;
    expect(Math.abs(offMs)).toBeLessThan(120_000);

    const until = instantOf(Date.now() - 95 * DAY);
    const rows = forgotten.filter(({ timeMs }) => timeMs < Date.parse(until)).length;
    expect(await verify(bench, { since, until })).toMatchObject({
      ...{ read: 0, missing: 0, extra: rows },
      findings: { expected: rows, forgotten: [{ since, until }] },
    });
  },
);

// ---- Repair -----------------------------------------------------------------------------------------------------

test("repairs what is missing or different, deletes nothing, and proves it", async () => {
  await using bench = await setUp({ events: history(900) });
  await forget(bench, idsOf(bench.api.events.slice(100, 220)));
  await bench.database.pool.query("update workos.events set data = '{}', context = null where seq % 7 = 0");
  await addRow(bench, "event_extra", instantOf(Date.now() - 10 * DAY));
  const found = await verify(bench, { repairs: true });
  expect(found).toMatchObject({ read: 900, missing: 120, extra: 1, repaired: found.missing + found.different });
  expect(found.different).toBeGreaterThan(50);
  expect(found.findings.isComplete).toBe(true);
  expect((await verify(bench)).ids.extra).toEqual(["event_extra"]);
  await forget(bench, ["event_extra"]);
  await expectMirrored(bench.database.pool, bench.api.events);
});

test("what Postgres quietly does not write is not repaired", async () => {
  await using bench = await setUp({ events: history(50) });
  const [event] = bench.api.events;
  await forget(bench, idsOf([event]));
  await bench.database.pool.query(`
    create function nothing() returns trigger language plpgsql as 'begin return null; end';
    create trigger nothing before insert on workos.events for each row execute function nothing()`);
  const found = await verify(bench, { repairs: true });
  expect(found).toMatchObject({ missing: 1, repaired: 0, findings: { isComplete: false } });
});

test("whatever fails in between, everything is counted and repaired once", async () => {
  await using bench = await setUp({ events: history(600) });
  const missing = bench.api.events.filter((_, index) => index % 9 === 0);
  await forget(bench, idsOf(missing));
  await addRow(bench, "event_extra", instantOf(Date.now() - 10 * DAY));
  let calls = 0;
  const failing = <A extends unknown[], T>(work: (...args: A) => Promise<T>) => {
    return async (...args: A) => {
      calls += 1;
      if (calls % 5 === 0) throw new Error("before");
      const result = await work(...args);
      if (calls % 7 === 0) throw new Error("after");
      return result;
    };
  };
  await using verifying = new VerifyBench(bench, {
    repairs: true,
    wrap: ({ comparer, store }) => ({
      comparer: { ...comparer, compare: failing(comparer.compare), storedIds: failing(comparer.storedIds) },
      store: { saveEvents: failing(store.saveEvents) },
    }),
  });
  expect((await verifying.toEnd()).length).toBeGreaterThan(20);
  expect(verifying.found).toEqual({
    read: 600,
    missing: missing.length,
    different: 0,
    extra: 1,
    repaired: missing.length,
    ids: { missing: idsOf(missing), different: [], extra: ["event_extra"] },
  });
});

// ---- Beside a mirror at work ------------------------------------------------------------------------------------

test("what the mirror stores a moment later is not missing", async () => {
  await using bench = await setUp({ events: history(50) });
  const young = bench.api.emit(5);
  const looked = Promise.withResolvers<void>();
  await using verifying = new VerifyBench(bench, {
    patienceMs: 20_000,
    until: addMs(instantOf(Date.now()), 1000),
    wrap: ({ comparer }) => ({
      comparer: {
        ...comparer,
        compare: async (...page) => {
          const wrong = await comparer.compare(...page);
          if (wrong.size > 0) looked.resolve();
          return wrong;
        },
      },
    }),
  });
  const verified = verifying.toEnd();
  await looked.promise;
  await bench.toHead();
  expect(await verified).toEqual([]);
  expect(verifying.found).toEqual({ ...nothing, read: 50 + young.length });
});

test("what the API lists a moment later is not extra", async () => {
  await using bench = await setUp({ events: history(50) });
  const [young] = bench.api.emit(1);
  await bench.toHead();
  bench.api.options.holdBackMs = 3_000;
  const found = await verify(bench, { patienceMs: 20_000, until: addMs(instantOf(Date.now()), 1000) });
  expect(young).toBeDefined();
  expect(found).toMatchObject({ ...nothing, read: 51 });
});

test("what is still missing when patience is over is missing, and repaired", async () => {
  await using bench = await setUp({ events: history(50) });
  const young = bench.api.emit(5);
  const settings: VerifySettings = { patienceMs: 10, until: addMs(instantOf(Date.now()), 1000) };
  const missing = { ...nothing, read: 55, missing: 5, ids: { ...nothing.ids, missing: idsOf(young) } };
  expect(await verify(bench, settings)).toMatchObject(missing);
  expect(await verify(bench, { ...settings, repairs: true })).toMatchObject({ ...missing, repaired: 5 });
  await expectMirrored(bench.database.pool, bench.api.events);
});

test("a range of nothing but the last seconds is compared as well", async () => {
  await using bench = await setUp({ events: history(50) });
  const since = instantOf(Date.now());
  const young = bench.api.emit(25);
  await bench.toHead();
  await forget(bench, idsOf(young.slice(3, 5)));
  const found = await verify(bench, { since, until: addMs(instantOf(Date.now()), 1000) });
  expect(found).toMatchObject({ read: 25, missing: 2, extra: 0, ids: { missing: idsOf(young.slice(3, 5)) } });
});
