import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import pg from "pg";
import { afterAll, expect, test, vi } from "vitest";
import {
  type CursorKey,
  type EventPage,
  type Gap,
  type MirroredEvent,
  type Position,
  type SavedPages,
  samePosition,
} from "../../src/event.ts";
import type { Instant } from "../../src/instant.ts";
import { createPool } from "../../src/postgres/connect.ts";
import { applyMigrations } from "../../src/postgres/migrate.ts";
import { createStore } from "../../src/postgres/store.ts";
import { OwnPostgres } from "../support/own-postgres.ts";
import { readPosition, savePage } from "../support/saving.ts";
import { createTestDatabase, type TestDatabase } from "../support/test-database.ts";

const key: CursorKey = { environment: "production", filter: {} };
const start: Position = { at: "2026-08-01T00:00:00.000000Z" };

async function migratedDatabase(): Promise<TestDatabase> {
  return migrated(await createTestDatabase());
}

async function migrated(database: TestDatabase): Promise<TestDatabase> {
  await applyMigrations(database.pool, fileURLToPath(new URL("../../migrations", import.meta.url)));
  return database;
}

/** For tests that only write rows: one database, emptied before each. */
async function emptyDatabase(): Promise<TestDatabase> {
  const database = await shared;
  await database.pool.query(
    "truncate workos.events, workos.cursors, workos.quarantined_events, workos.gaps restart identity",
  );
  return database;
}

const shared = migratedDatabase();
afterAll(async () => (await shared).drop());

function eventOf(id: string, data = "{}", more: Partial<MirroredEvent> = {}): MirroredEvent {
  const text = `{"id":${JSON.stringify(id)},"data":${data}}`;
  return { id, event: "user.created", createdAt: "2026-08-01T10:00:00.000000Z", text, data, ...more };
}

function pageOf(events: readonly MirroredEvent[], more: Partial<EventPage> = {}): EventPage {
  return {
    events,
    quarantined: [],
    received: events.length,
    full: false,
    last: true,
    bytes: 0,
    tookMs: 0,
    request: "/events?order=asc&limit=100",
    requestId: "req_1",
    apiTime: "2026-08-01T10:00:05.000000Z",
    ...more,
  };
}

/** `count` events whose ids begin with `name`. */
function eventsOf(name: string, count: number): MirroredEvent[] {
  return Array.from({ length: count }, (_, index) => eventOf(`${name}_${index}`));
}

function behind(event: MirroredEvent): Position {
  return { after: event.id, at: event.createdAt };
}

/** What saving new events answers, all of the type user.created. */
function inserted(count: number, more: Partial<SavedPages> = {}) {
  const none = { updated: 0, quarantined: 0, ...("moved" in more && { gaps: [] }) };
  return { inserted: new Map(count === 0 ? [] : [["user.created", count]]), ...none, ...more };
}

const ISO = `'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'`;

async function storedEvents({ pool }: TestDatabase) {
  const { rows } = await pool.query(`
    select id, event, to_char(created_at at time zone 'UTC', ${ISO}) as created_at, organization_id, object_id,
      data::text, context::text, environment, seq::int, extra::text
    from workos.events order by seq`);
  return rows;
}

/** A row of storedEvents(), as eventOf() makes it. */
function rowOf(id: string, seq: number, more: Record<string, unknown> = {}) {
  return {
    id,
    event: "user.created",
    created_at: "2026-08-01T10:00:00.000000Z",
    organization_id: null,
    object_id: null,
    data: "{}",
    context: null,
    environment: "production",
    seq,
    extra: null,
    ...more,
  };
}

async function storedIds({ pool }: TestDatabase): Promise<string[]> {
  const { rows } = await pool.query<{ id: string }>("select id from workos.events order by seq");
  return rows.map(({ id }) => id);
}

async function storedCursors({ pool }: TestDatabase) {
  const { rows } = await pool.query(`
    select environment, filter, events, organization_id, after, to_char(at at time zone 'UTC', ${ISO}) as at
    from workos.cursors order by environment, filter`);
  return rows;
}

async function storedGaps({ pool }: TestDatabase) {
  const { rows } = await pool.query<[string, Instant, Instant, string]>({
    text: `
      select filter, to_char(range_start at time zone 'UTC', ${ISO}), to_char(range_end at time zone 'UTC', ${ISO}), reason
      from workos.gaps order by filter desc, range_start`,
    rowMode: "array",
  });
  return rows;
}

async function storedQuarantine({ pool }: TestDatabase) {
  const { rows } = await pool.query(`
    select environment, digest, reason, event_id, event, raw, request, request_id
    from workos.quarantined_events order by environment, event_id`);
  return rows;
}

/** Everything by which a write to the tables would show: versions and locks of rows, used numbers, sizes. */
async function traces({ pool }: TestDatabase) {
  const events = await pool.query("select id, xmin, xmax, ctid, mirrored_at, seq from workos.events order by seq");
  const cursors = await pool.query("select environment, filter, xmin, xmax, ctid from workos.cursors order by 1, 2");
  const quarantined = await pool.query("select digest, xmin, xmax, ctid from workos.quarantined_events order by 1");
  const used = await pool.query("select last_value, is_called from workos.events_seq_seq");
  return [events, cursors, quarantined, used].map(({ rows }) => rows);
}

// ---- All or nothing ---------------------------------------------------------------------------------------------

test("writes a page and the position behind it", async () => {
  const database = await emptyDatabase();
  const store = createStore(database.pool);
  const first = eventOf("event_1", '{"object": "user", "id": "user_1", "organization_id": "org_1"}', {
    context: '{"client_id": "c"}',
    extra: '{"environment_id": "env"}',
  });
  const second = eventOf("event_0", "{}", { event: "session.created", createdAt: "2026-08-01T10:00:01.000000Z" });

  const saved = await savePage(store, key, pageOf([first, second]), { from: undefined, to: behind(second) });

  expect(saved).toEqual({
    inserted: new Map([
      ["user.created", 1],
      ["session.created", 1],
    ]),
    updated: 0,
    quarantined: 0,
    moved: true,
    gaps: [],
  });
  expect(await storedEvents(database)).toEqual([
    rowOf("event_1", 1, {
      data: '{"id": "user_1", "object": "user", "organization_id": "org_1"}',
      organization_id: "org_1",
      object_id: "user_1",
      context: '{"client_id": "c"}',
      extra: '{"environment_id": "env"}',
    }),
    rowOf("event_0", 2, { event: "session.created", created_at: "2026-08-01T10:00:01.000000Z" }),
  ]);
  expect(await storedCursors(database)).toEqual([
    {
      environment: "production",
      filter: "*",
      events: null,
      organization_id: null,
      after: "event_0",
      at: "2026-08-01T10:00:01.000000Z",
    },
  ]);
});

test.each([
  ["an event", "alter table workos.events add check (id <> 'new_1')"],
  ["a quarantined event", "alter table workos.quarantined_events add check (raw <> 'broken')"],
  ["a gap", "alter table workos.gaps add check (reason <> 'too old')"],
  ["the cursor", "alter table workos.cursors add check (after <> 'new_2')"],
])("keeps the cursor, and writes nothing of the page, when %s can't be written", async (_, refuse) => {
  await using database = await migratedDatabase();
  const store = createStore(database.pool);
  await savePage(store, key, pageOf(eventsOf("old", 2)), { from: undefined, to: start });
  await database.pool.query(refuse);
  const events = eventsOf("new", 3);
  const page = pageOf(events, { quarantined: [{ text: "broken", reason: "not an object" }] });
  const gap: Gap = { rangeStart: "2026-07-01T00:00:00.000000Z", rangeEnd: start.at, reason: "too old" };

  const saving = savePage(store, key, page, { from: start, to: { after: "new_2", at: start.at }, gaps: [gap] });

  await expect(saving).rejects.toMatchObject({ name: "Trouble", kind: "passing", code: "postgres_failing" });
  expect({
    ids: await storedIds(database),
    quarantine: await storedQuarantine(database),
    gaps: await storedGaps(database),
    position: await readPosition(store, key),
  }).toEqual({ ids: ["old_0", "old_1"], quarantine: [], gaps: [], position: start });
});

test("writes nothing when the connection dies in the middle, and everything with the next try", async () => {
  await using database = await migratedDatabase();
  const pool = createPool({ url: database.url, applicationName: "test" });
  const store = createStore(pool);
  const events = eventsOf("event", 2);
  const move = { from: undefined, to: { after: "event_1", at: start.at } };
  // Saving waits at its last row.
  await using gate = await closeGate(database, "event_1");
  const saving = expect(savePage(store, key, pageOf(events), move)).rejects.toMatchObject({ kind: "passing" });
  const [pid] = await gate.waiting(1);
  await database.pool.query("select pg_terminate_backend($1)", [pid]);
  await saving;
  expect({ ids: await storedIds(database), position: await readPosition(store, key) }).toEqual({
    ids: [],
    position: undefined,
  });

  await gate.open();
  expect(await savePage(store, key, pageOf(events), move)).toEqual(inserted(2, { moved: true }));
  await pool.end();
});

/** Makes everybody who inserts the event `id` wait until the gate is opened. */
async function closeGate({ pool, url }: TestDatabase, id: string) {
  await pool.query(`
    create function gate() returns trigger language plpgsql as
      $$ begin perform pg_advisory_xact_lock_shared(1); return new; end $$;
    create trigger gate before insert on workos.events for each row when (new.id = '${id}') execute function gate()`);
  const keeper = new pg.Client(url);
  await keeper.connect();
  await keeper.query("select pg_advisory_lock(1)");
  const waitingNow = async () => {
    const { rows } = await pool.query<{ pid: number }>(`
      select pid from pg_locks
      where locktype = 'advisory' and not granted and database = (select oid from pg_database where datname = current_database())`);
    return rows.map(({ pid }) => pid);
  };
  return {
    open: async () => void (await keeper.query("select pg_advisory_unlock(1)")),
    waiting: (count: number) =>
      vi.waitFor(async () => {
        const pids = await waitingNow();
        expect(pids).toHaveLength(count);
        return pids;
      }, 10_000),
    [Symbol.asyncDispose]: () => keeper.end(),
  };
}

// ---- Compare and set --------------------------------------------------------------------------------------------

test.each<[string, Position | undefined]>([
  ["knows no cursor", undefined],
  ["read the cursor before it moved", start],
  ["read another id at the same time", { after: "event_9", at: "2026-08-01T10:00:00.000000Z" }],
  ["read the same id at another time", { after: "event_1", at: "2026-08-01T10:00:00.000001Z" }],
  ["read the same time without an id", { at: "2026-08-01T10:00:00.000000Z" }],
])("a stale writer changes nothing: one that %s", async (_, from) => {
  const database = await emptyDatabase();
  const store = createStore(database.pool);
  const [first, second] = eventsOf("event", 2);
  if (first === undefined || second === undefined) throw new Error("unreachable");
  await savePage(store, key, pageOf([first, second]), { from: undefined, to: behind(second) });
  const before = await traces(database);
  const quarantined = [{ text: "broken", reason: "not an object" }];
  const gap: Gap = { rangeStart: "2026-07-01T00:00:00.000000Z", rangeEnd: start.at, reason: "too old" };

  for (const to of [behind(first), behind(eventOf("event_7")), ...(from === undefined ? [] : [from])]) {
    const saved = await savePage(store, key, pageOf([eventOf("event_7")], { quarantined }), { from, to, gaps: [gap] });
    expect(saved).toEqual(inserted(0, { moved: false }));
  }
  expect({ traces: await traces(database), gaps: await storedGaps(database) }).toEqual({ traces: before, gaps: [] });
});

test.each(["read committed", "serializable"])(
  "of several writers at once only one moves the cursor (isolation by default: %s)",
  async (isolation) => {
    await using database = await migratedDatabase();
    const { rows } = await database.pool.query<{ name: string }>("select current_database() as name");
    await database.pool.query(`alter database ${rows[0]?.name} set default_transaction_isolation = '${isolation}'`);
    const pool = createPool({ url: database.url, applicationName: "test" });
    const store = createStore(pool);
    const writers = ["a", "b", "c", "d"];
    let from: Position | undefined;
    const winners: string[] = [];
    for (let round = 0; round < 10; round += 1) {
      const saved = await Promise.all(
        writers.map(async (writer) => {
          const events = eventsOf(`${writer}${round}`, 3);
          const to = { after: `${writer}${round}_2`, at: start.at };
          return { events, to, ...(await savePage(store, key, pageOf(events), { from, to })) };
        }),
      );
      const [winner, ...others] = saved.filter(({ moved }) => moved);
      expect(others).toEqual([]);
      winners.push(...(winner?.events.map(({ id }) => id) ?? []));
      from = winner?.to;
      expect(await readPosition(store, key)).toEqual(from);
    }
    await pool.end();
    expect(await storedIds(database)).toEqual(winners);
  },
);

// ---- Once -------------------------------------------------------------------------------------------------------

test("a replay writes nothing: no row, no lock, no number, no WAL", async () => {
  await using server = await OwnPostgres.start({ autovacuum: "off" }); // nobody else writes
  await using database = await migrated(server.database());
  const store = createStore(database.pool);
  const page = pageOf(
    [
      ...eventsOf("event", 50),
      eventOf("full", '{"a": [1.10, 1e2, null], "id": "x", "organization_id": "o"}', {
        context: '{"b": "ü"}',
        extra: '{"c": 1}',
      }),
      eventOf("null", "null"),
      eventOf("poison", '{"a": "\\u0000"}'),
    ],
    { quarantined: [{ text: "[]", reason: "not an object" }] },
  );
  expect(await store.saveEvents("production", page)).toEqual(inserted(53, { quarantined: 2 }));
  const before = await traces(database);

  expect(await store.saveEvents("production", page)).toEqual(inserted(0));
  expect(await traces(database)).toEqual(before);

  const walEnd = async () => (await database.pool.query("select pg_current_wal_insert_lsn() as lsn")).rows;
  await vi.waitFor(
    // what the server keeps for itself it writes seldom
    async () => {
      const quiet = await walEnd();
      await store.saveEvents("production", page);
      expect(await walEnd()).toEqual(quiet);
    },
    { timeout: 20_000, interval: 1 },
  );
});

test("a page that leads nowhere and was stored before leaves even the cursor's row alone", async () => {
  const database = await emptyDatabase();
  const store = createStore(database.pool);
  const page = pageOf(eventsOf("event", 2));
  const to = { after: "event_1", at: start.at };
  await savePage(store, key, page, { from: undefined, to });
  const before = await traces(database);
  expect(await savePage(store, key, page, { from: to, to })).toEqual(inserted(0, { moved: true }));
  expect(await traces(database)).toEqual(before);
});

test.each<[string, Partial<MirroredEvent>, Record<string, unknown>]>([
  ["type", { event: "user.updated" }, { event: "user.updated" }],
  ["time", { createdAt: "2026-08-01T10:00:00.000001Z" }, { created_at: "2026-08-01T10:00:00.000001Z" }],
  ["data", { data: '{"id":"user_2"}' }, { data: '{"id": "user_2"}', object_id: "user_2" }],
  ["context", { context: "{}" }, { context: "{}" }],
  ["extra fields", { extra: '{"a":1}' }, { extra: '{"a": 1}' }],
])("an event that comes again with another %s changes its row, and only that", async (_, change, changed) => {
  const database = await emptyDatabase();
  const store = createStore(database.pool);
  const events = eventsOf("event", 3);
  await store.saveEvents("production", pageOf(events));
  const [before] = await traces(database);
  const again = pageOf(events.map((event) => (event.id === "event_1" ? { ...event, ...change } : event)));

  expect(await store.saveEvents("production", again)).toEqual(inserted(0, { updated: 1 }));
  expect(await storedEvents(database)).toEqual([
    rowOf("event_0", 1),
    rowOf("event_1", 2, changed),
    rowOf("event_2", 3),
  ]);
  const [after] = await traces(database);
  const { mirrored_at, seq } = before?.[1] ?? {};
  expect(after).toEqual([before?.[0], expect.objectContaining({ id: "event_1", mirrored_at, seq }), before?.[2]]);
  expect(await store.saveEvents("production", again)).toEqual(inserted(0));
});

test("an event that is new and one that has changed are told apart in one page", async () => {
  const database = await emptyDatabase();
  const store = createStore(database.pool);
  await store.saveEvents("production", pageOf(eventsOf("event", 3)));
  const page = pageOf([eventOf("event_0"), eventOf("event_1", '{"a": 1}'), eventOf("event_3"), eventOf("event_4")]);
  expect(await store.saveEvents("production", page)).toEqual(inserted(2, { updated: 1 }));
});

test("an event that somebody inserts meanwhile without the lock is met again with the next try", async () => {
  await using database = await migratedDatabase();
  const store = createStore(database.pool);
  const somebody = new pg.Client(database.url);
  await somebody.connect();
  await somebody.query(`begin;
    insert into workos.events (id, event, created_at, data, environment)
    values ('event_1', 'user.created', now(), '{"by": "hand"}', 'production')`);
  const saving = expect(store.saveEvents("production", pageOf(eventsOf("event", 3)))).rejects.toMatchObject({
    kind: "passing",
    message: expect.stringContaining("23505"),
  });
  await vi.waitFor(async () => {
    const { rows } = await database.pool.query(
      "select from pg_stat_activity where datname = current_database() and wait_event = 'transactionid'",
    );
    expect(rows).toHaveLength(1);
  });
  await somebody.query("commit");
  await somebody.end();
  await saving;
  expect(await storedIds(database)).toEqual(["event_1"]);
  expect(await store.saveEvents("production", pageOf(eventsOf("event", 3)))).toEqual(inserted(2, { updated: 1 }));
});

// ---- Lossless ---------------------------------------------------------------------------------------------------

/** Parses JSON with every digit: a number becomes its digits without zeros at the ends, and an exponent. */
function exactly(text: string): unknown {
  const numbersAsObjects = text.replace(/"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g, (token) =>
    token.startsWith('"') ? token : `{"number": "${canonical(token)}"}`,
  );
  return JSON.parse(numbersAsObjects);
}

function canonical(number: string): string {
  const [, sign, whole, fraction = "", exponent = "0"] = /^(-?)(\d+)(?:\.(\d+))?(?:e(.+))?$/i.exec(number) ?? [];
  const digits = `${whole}${fraction}`.replace(/^0+/, "");
  const short = digits.replace(/0+$/, "");
  return short === "" ? "0" : `${sign}${short}e${Number(exponent) - fraction.length + digits.length - short.length}`;
}

const digits = (maxLength: number) => fc.stringMatching(new RegExp(`^[0-9]{1,${maxLength}}$`));
const whole = digits(60).map((text) => text.replace(/^0+(?=.)/, ""));
const fraction = fc.option(digits(60), { nil: undefined });
const exponent = fc.option(fc.tuple(fc.constantFrom("e", "E", "e+", "e-"), fc.nat(300)), { nil: undefined });
const numberText = fc
  .tuple(fc.constantFrom("", "-"), whole, fraction, exponent)
  .map(([sign, before, after, power]) => `${sign}${before}${after ? `.${after}` : ""}${power?.join("") ?? ""}`);

const escaped = (text: string) =>
  text.replace(/./gs, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
/** Any code point that jsonb takes, written as itself or as escapes. */
const stringText = fc
  .tuple(fc.string({ unit: "binary" }), fc.boolean())
  .map(([text, asEscapes]) => [text.replaceAll("\u0000", ""), asEscapes] as const)
  .map(([text, asEscapes]) => (asEscapes ? `"${escaped(text)}"` : JSON.stringify(text)));

const { document: jsonText } = fc.letrec<{ document: string; value: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: "medium", withCrossShrink: true },
    numberText,
    stringText,
    fc.constantFrom("null", "true", "false", "{}", "[]"),
    fc.array(tie("value"), { maxLength: 5 }).map((items) => `[${items.join(" , ")}]`),
    tie("document"),
  ),
  document: fc
    .uniqueArray(fc.tuple(stringText, tie("value")), { maxLength: 5, selector: ([name]) => JSON.parse(name) })
    .map((members) => `{${members.map(([name, value]) => `${name}:${value}`).join(",\n")}}`),
}));

test("keeps every digit, every character and every level of any JSON", async () => {
  const database = await emptyDatabase();
  const store = createStore(database.pool);
  const body = fc.record({ data: jsonText, context: jsonText, extra: jsonText });
  let run = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(body, { minLength: 1, maxLength: 10 }), async (bodies) => {
      run += 1;
      const events = bodies.map((parts, index) => eventOf(`event_${run}_${index}`, parts.data, parts));
      expect(await store.saveEvents("production", pageOf(events))).toEqual(inserted(events.length));
      const stored = await database.pool.query<{ data: string; context: string; extra: string }>(
        "select data::text, context::text, extra::text from workos.events where id like $1 order by seq",
        [`event_${run}_%`],
      );
      const exact = ({ data, context, extra }: (typeof bodies)[number]) => [data, context, extra].map(exactly);
      expect(stored.rows.map(exact)).toEqual(bodies.map(exact));
    }),
    { numRuns: 100 },
  );
});

test("keeps what is large: 1,000 levels, a megabyte of text, 100,000 members", async () => {
  const database = await emptyDatabase();
  const store = createStore(database.pool);
  const texts = [
    `{"a":${"[".repeat(1_000)}9007199254740993${"]".repeat(1_000)}}`,
    `{"a":"${"語\\n".repeat(300_000)}"}`,
    `{${Array.from({ length: 100_000 }, (_, index) => `"k${index}":${index}.${index}`).join(",")}}`,
  ];
  await store.saveEvents("production", pageOf(texts.map((text, index) => eventOf(`event_${index}`, text))));
  const stored = await storedEvents(database);
  expect(stored.map(({ data }) => exactly(data))).toEqual(texts.map(exactly));
});

test("keeps ids, types and labels of any characters", async () => {
  const database = await emptyDatabase();
  const odd = `'"\\ü語😀 $1 %s; --`;
  const store = createStore(database.pool);
  const oddKey: CursorKey = { environment: odd, filter: { organizationId: odd } };
  const to = { after: odd, at: start.at };
  await savePage(store, oddKey, pageOf([eventOf(odd, "{}", { event: odd })]), { from: undefined, to });
  expect(await storedEvents(database)).toEqual([rowOf(odd, 1, { event: odd, environment: odd })]);
  expect(await readPosition(store, oddKey)).toEqual(to);
});

test("keeps the microseconds of an event and of a position", async () => {
  const database = await emptyDatabase();
  const store = createStore(database.pool);
  const event = eventOf("event_1", "{}", { createdAt: "2023-04-28T20:05:31.093001Z" });
  await savePage(store, key, pageOf([event]), { from: undefined, to: behind(event) });
  expect(await readPosition(store, key)).toEqual({ after: "event_1", at: "2023-04-28T20:05:31.093001Z" });
  expect(await storedEvents(database)).toEqual([rowOf("event_1", 1, { created_at: "2023-04-28T20:05:31.093001Z" })]);
});

test.each(["null", "[]", '[{"id": "user_1", "organization_id": "org_1"}]', '"text"', '""', "12.50", "false"])(
  "stores data that is no object as it came: %s",
  async (data) => {
    const database = await emptyDatabase();
    await createStore(database.pool).saveEvents("production", pageOf([eventOf("event_1", data)]));
    expect(await storedEvents(database)).toEqual([rowOf("event_1", 1, { data })]);
  },
);

// ---- The ids that are read out of data --------------------------------------------------------------------------

const longest = "ü".repeat(255);

test.each<[string, string, string, string | null, string | null]>([
  ["a user of no organization", "user.created", '{"id": "user_1"}', null, "user_1"],
  ["a member", "dsync.user.created", '{"id": "user_1", "organization_id": "org_1"}', "org_1", "user_1"],
  ["an organization", "organization.created", '{"id": "org_1"}', "org_1", "org_1"],
  ["a sub-organization", "organization.deleted", '{"id": "org_1", "organization_id": "org_2"}', "org_1", "org_1"],
  ["a domain", "organization_domain.created", '{"id": "domain_1", "organization_id": "org_1"}', "org_1", "domain_1"],
  ["a membership", "organization_membership.created", '{"id": "om_1"}', null, "om_1"],
  ["what has no id", "authentication.sso_failed", '{"user_id": "user_1"}', null, null],
  ["nulls", "user.created", '{"id": null, "organization_id": null}', null, null],
  ["numbers", "user.created", '{"id": 12, "organization_id": 9007199254740993}', "9007199254740993", "12"],
  ["empty ids", "user.created", '{"id": "", "organization_id": ""}', "", ""],
  ["long ids", "user.created", `{"id": "${longest}", "organization_id": "${longest}"}`, longest, longest],
  ["ids too long", "user.created", `{"id": "${longest}x", "organization_id": "${longest}x"}`, null, null],
  ["an organization with an id too long", "organization.updated", `{"id": "${longest}x"}`, null, null],
])("reads organization and object out of %s", async (_, event, data, organization_id, object_id) => {
  const database = await emptyDatabase();
  const saved = await createStore(database.pool).saveEvents(
    "production",
    pageOf([eventOf("event_1", data, { event })]),
  );
  expect(saved).toEqual({ inserted: new Map([[event, 1]]), updated: 0, quarantined: 0 });
  expect(await storedEvents(database)).toEqual([rowOf("event_1", 1, { event, data, organization_id, object_id })]);
});

// ---- What jsonb refuses -----------------------------------------------------------------------------------------

const poison: [string, string, string][] = [
  ["NUL", '{"id": "a\\u0000b", "n": 9007199254740993}', '{"n": 9007199254740993, "id": "a�b"}'],
  ["NUL in a name", '{"\\u0000": 1}', '{"�": 1}'],
  ["a lone high surrogate", '{"a": "x\\ud83dy"}', '{"a": "x�y"}'],
  ["a lone low surrogate", '{"a": "\\uDE00\\ud83d\\ude00"}', '{"a": "�😀"}'],
  ["a number that is too large", '{"a": 1e999999, "b": [1]}', '{"a": "1e999999", "b": [1]}'],
  ["a number that is too small", '{"a": -1.5E-999999}', '{"a": "-1.5E-999999"}'],
  ["20,000 levels", `{"a": ${"[".repeat(20_000)}${"]".repeat(20_000)}}`, "{}"],
  ["20,000 levels of objects", `${'{"a":'.repeat(20_000)}1${"}".repeat(20_000)}`, "{}"],
];

test.each(poison)(
  "quarantines an event with %s, and stores the nearest that can be read",
  async (_, data, readable) => {
    const database = await emptyDatabase();
    const store = createStore(database.pool);
    const events = [eventOf("event_0"), eventOf("event_1", data), eventOf("event_2", '{"a": "\\\\u0000"}')];
    const to = { after: "event_2", at: start.at };

    const saved = await savePage(store, key, pageOf(events), { from: undefined, to });

    expect(saved).toEqual(inserted(3, { quarantined: 1, moved: true }));
    expect(await readPosition(store, key)).toEqual(to);
    const object_id = JSON.parse(readable).id ?? null;
    expect(await storedEvents(database)).toEqual([
      rowOf("event_0", 1),
      rowOf("event_1", 2, { data: readable, object_id }),
      rowOf("event_2", 3, { data: '{"a": "\\\\u0000"}' }),
    ]);
    const raw = `{"id":"event_1","data":${data}}`;
    expect(await storedQuarantine(database)).toEqual([
      {
        environment: "production",
        digest: createHash("sha256").update(raw).digest("hex"),
        reason: expect.stringMatching(/^jsonb refuses it: \w.+/),
        event_id: "event_1",
        event: "user.created",
        raw,
        request: "/events?order=asc&limit=100",
        request_id: "req_1",
      },
    ]);
  },
);

test("quarantines an event whose context or extra fields jsonb refuses", async () => {
  const database = await emptyDatabase();
  const store = createStore(database.pool);
  const events = [
    eventOf("event_0", '{"id": "a"}', { context: '{"a": "\\u0000"}' }),
    eventOf("event_1", '{"id": "b"}', { extra: '{"a": 1e999999}' }),
  ];
  expect(await store.saveEvents("production", pageOf(events))).toEqual(inserted(2, { quarantined: 2 }));
  expect(await storedEvents(database)).toEqual([
    rowOf("event_0", 1, { data: '{"id": "a"}', object_id: "a", context: '{"a": "�"}' }),
    rowOf("event_1", 2, { data: '{"id": "b"}', object_id: "b", extra: '{"a": "1e999999"}' }),
  ]);
});

test("a page of 100 events that jsonb refuses is stored all the same", async () => {
  const database = await emptyDatabase();
  const store = createStore(database.pool);
  const events = Array.from({ length: 100 }, (_, index) =>
    eventOf(`event_${index}`, poison[index % poison.length]?.[1]),
  );
  const saved = await savePage(store, key, pageOf(events), { from: undefined, to: start });
  expect(saved).toEqual(inserted(100, { quarantined: 100, moved: true }));
  expect(await storedIds(database)).toEqual(events.map(({ id }) => id));
  expect((await storedQuarantine(database)).map(({ raw }) => raw).sort()).toEqual(
    events.map(({ text }) => text).sort(),
  );
});

test("quarantines the same text once, in each environment", async () => {
  const database = await emptyDatabase();
  const store = createStore(database.pool);
  const twice = { text: "[1]", reason: "not an object" };
  const quarantined = [twice, twice, { text: "{}", reason: "id is missing or not valid", event: "user.created" }];
  const page = pageOf([], { quarantined, received: 3 });
  delete page.requestId;

  const saved = [];
  for (const environment of ["production", "production", "staging"]) {
    saved.push(await store.saveEvents(environment, page));
  }

  expect(saved).toEqual([inserted(0, { quarantined: 2 }), inserted(0), inserted(0, { quarantined: 2 })]);
  const rows = (environment: string) => [
    { reason: "id is missing or not valid", event: "user.created", raw: "{}", environment },
    { reason: "not an object", event: null, raw: "[1]", environment },
  ];
  const digest = (raw: string) => createHash("sha256").update(raw).digest("hex");
  const expected = [...rows("production"), ...rows("staging")].map((row) => ({
    ...row,
    digest: digest(row.raw),
    event_id: null,
    request: "/events?order=asc&limit=100",
    request_id: null,
  }));
  const stored = await storedQuarantine(database);
  const order = (a: { environment: string; raw: string }, b: { environment: string; raw: string }) =>
    `${a.environment}${a.raw}` < `${b.environment}${b.raw}` ? -1 : 1;
  expect(stored.sort(order)).toEqual(expected.sort(order));
});

// ---- seq --------------------------------------------------------------------------------------------------------

test("seq follows the order of the page", async () => {
  const database = await emptyDatabase();
  const ids = Array.from({ length: 100 }, (_, index) => `event_${(index * 37) % 100}`);
  await createStore(database.pool).saveEvents("production", pageOf(ids.map((id) => eventOf(id))));
  expect(await storedIds(database)).toEqual(ids);
});

test("no seq appears behind a later one: whoever writes meanwhile waits", async () => {
  await using database = await migratedDatabase();
  const store = createStore(database.pool);
  await using gate = await closeGate(database, "slow_1");
  const slow = store.saveEvents("a", pageOf(eventsOf("slow", 2)));
  await gate.waiting(1);
  const quick = store.saveEvents("b", pageOf(eventsOf("quick", 2)));
  await gate.waiting(2);
  expect(await storedIds(database)).toEqual([]);
  await gate.open();
  await Promise.all([slow, quick]);
  expect(await storedIds(database)).toEqual(["slow_0", "slow_1", "quick_0", "quick_1"]);
});

test("a consumer that reads by seq sees every event once, while four mirrors write", async () => {
  const database = await emptyDatabase();
  const store = createStore(database.pool);
  const environments = ["a", "b", "c", "d"];
  let writing = true;
  const write = async (environment: string) => {
    let from: Position | undefined;
    for (let page = 0; page < 40; page += 1) {
      const events = eventsOf(`${environment}${page}`, 1 + (page % 5));
      const to = { after: `${environment}${page}_0`, at: start.at };
      await savePage(store, { ...key, environment }, pageOf(events), { from, to });
      from = to;
    }
  };
  const read = async () => {
    const seen: string[] = [];
    let last = "0";
    for (let ended = false; !ended; ) {
      ended = !writing;
      const { rows } = await database.pool.query<{ seq: string; id: string }>(
        "select seq, id from workos.events where seq > $1 order by seq",
        [last],
      );
      seen.push(...rows.map(({ id }) => id));
      last = rows.at(-1)?.seq ?? last;
    }
    return seen;
  };
  const reading = read();
  await Promise.all(environments.map(write)).finally(() => {
    writing = false;
  });
  const stored = await storedIds(database);
  expect(stored).toHaveLength(480);
  expect(await reading).toEqual(stored);
});

// ---- NOTIFY -----------------------------------------------------------------------------------------------------

test("tells listeners of every page that brought something, and of no replay", async () => {
  const database = await emptyDatabase();
  const store = createStore(database.pool);
  const listener = new pg.Client(database.url);
  await listener.connect();
  const heard: unknown[] = [];
  const ended = new Promise<void>((resolve) => {
    listener.on("notification", ({ payload = "" }) =>
      payload === "end" ? resolve() : heard.push(JSON.parse(payload)),
    );
  });
  await listener.query("listen workos_events");
  const page = pageOf(eventsOf("event", 3));
  const to = { after: "event_2", at: start.at };

  await savePage(store, key, page, { from: undefined, to });
  await savePage(store, key, page, { from: start, to });
  await savePage(store, key, page, { from: to, to: { after: "event_3", at: start.at } });
  await store.saveEvents("production", page);
  await store.saveEvents("production", pageOf([]));
  await store.saveEvents('"quoted" ünïcode', pageOf([eventOf("event_0", '{"a": 1}')]));
  await database.pool.query("notify workos_events, 'end'");
  await ended;
  await listener.end();

  expect(heard).toEqual([
    { environment: "production", count: 3, cursor: "event_2" },
    { environment: '"quoted" ünïcode', count: 1, cursor: null },
  ]);
});

// ---- Positions, gaps, several mirrors ---------------------------------------------------------------------------

test("an empty page only moves the position", async () => {
  const database = await emptyDatabase();
  const store = createStore(database.pool);
  const at = "2026-08-31T00:00:00.000000Z";
  expect(await readPosition(store, key)).toBeUndefined();
  expect(await savePage(store, key, pageOf([]), { from: undefined, to: start })).toEqual(inserted(0, { moved: true }));
  expect(await readPosition(store, key)).toEqual(start);
  expect(await savePage(store, key, pageOf([]), { from: start, to: { at } })).toEqual(inserted(0, { moved: true }));
  expect(await readPosition(store, key)).toEqual({ at });
  expect(await storedIds(database)).toEqual([]);
});

test("mirrors with another environment or filter have positions of their own", async () => {
  const database = await emptyDatabase();
  const store = createStore(database.pool);
  const many = Array.from({ length: 111 }, (_, index) => `type_${String(index).padStart(3, "0")}.created`);
  const keys: CursorKey[] = [
    { environment: "production", filter: {} },
    { environment: "production", filter: { events: many } },
    { environment: "production", filter: { events: ["user.created", "user.deleted"], organizationId: "org_1" } },
    { environment: "production", filter: { organizationId: "org_1" } },
    { environment: "staging", filter: {} },
  ];
  const positions = keys.map((_, index) => ({ after: `event_${index}`, at: start.at }));
  const page = pageOf([eventOf("shared")]);
  for (const [index, each] of keys.entries()) {
    await savePage(store, each, page, { from: undefined, to: positions[index] ?? start });
  }
  expect(await Promise.all(keys.map((each) => readPosition(store, each)))).toEqual(positions);

  await savePage(store, { environment: "staging", filter: {} }, pageOf([]), { from: positions[4], to: start });
  const digest = createHash("sha256").update(many.join(",")).digest("hex");
  const cursor = { environment: "production", filter: "*", events: null, organization_id: null, ...start };
  expect(await storedCursors(database)).toEqual(
    [
      { ...cursor, after: "event_0" },
      { ...cursor, after: "event_1", filter: `events=sha256:${digest}`, events: many },
      {
        ...cursor,
        after: "event_2",
        filter: "events=user.created,user.deleted&organization_id=org_1",
        events: ["user.created", "user.deleted"],
        organization_id: "org_1",
      },
      { ...cursor, after: "event_3", filter: "organization_id=org_1", organization_id: "org_1" },
      { ...cursor, after: null, environment: "staging" },
    ].sort((a, b) => (`${a.environment} ${a.filter}` < `${b.environment} ${b.filter}` ? -1 : 1)),
  );
  expect(await storedIds(database)).toEqual(["shared"]);
});

test("records a gap once, and only what no earlier one covers", async () => {
  const database = await emptyDatabase();
  const store = createStore(database.pool);
  const day = (number: number): Instant => `2026-05-${String(number).padStart(2, "0")}T00:00:00.000001Z`;
  const gap = (from: number, to: number, reason = "too old"): Gap => ({
    rangeStart: day(from),
    rangeEnd: day(to),
    reason,
  });
  let from: Position | undefined;
  const recordedBy = async (missing: readonly Gap[], of: CursorKey = key) => {
    const to = { at: missing.at(-1)?.rangeEnd ?? start.at };
    const unmoved = from !== undefined && samePosition(from, to);
    const saved = await savePage(store, of, pageOf([]), { from: of === key ? from : undefined, to, gaps: missing });
    if (of === key && !unmoved) from = to;
    return saved.gaps;
  };

  expect(await recordedBy([gap(10, 12)])).toEqual([gap(10, 12)]);
  expect(await recordedBy([gap(10, 12)])).toEqual([]);
  expect(await recordedBy([gap(11, 14, "refused")])).toEqual([gap(12, 14, "refused")]);
  expect(await recordedBy([gap(20, 22)])).toEqual([gap(20, 22)]);
  expect(await recordedBy([gap(1, 3), gap(13, 21)])).toEqual([gap(1, 3), gap(14, 20)]);
  expect(await recordedBy([gap(2, 24)])).toEqual([gap(3, 10), gap(22, 24)]);
  expect(await recordedBy([gap(1, 24)])).toEqual([]);
  expect(await recordedBy([gap(5, 6)], { ...key, filter: { organizationId: "org_1" } })).toEqual([gap(5, 6)]);

  expect(await storedGaps(database)).toEqual([
    ["organization_id=org_1", day(5), day(6), "too old"],
    ["*", day(1), day(3), "too old"],
    ["*", day(3), day(10), "too old"],
    ["*", day(10), day(12), "too old"],
    ["*", day(12), day(14), "refused"],
    ["*", day(14), day(20), "too old"],
    ["*", day(20), day(22), "too old"],
    ["*", day(22), day(24), "too old"],
  ]);
});
