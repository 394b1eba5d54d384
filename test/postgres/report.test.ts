import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import type { EventPage, Gap, MirroredEvent } from "../../src/event.ts";
import { createPool } from "../../src/postgres/connect.ts";
import { applyMigrations, readMigrationState } from "../../src/postgres/migrate.ts";
import { requirePrivileges } from "../../src/postgres/privileges.ts";
import { readReport, readServerVersion } from "../../src/postgres/report.ts";
import { createStore } from "../../src/postgres/store.ts";
import { readPosition, savePage } from "../support/saving.ts";
import { createTestDatabase, type TestDatabase } from "../support/test-database.ts";

const folder = fileURLToPath(new URL("../../migrations", import.meta.url));
const key = { environment: "production", filter: {} };
const at = "2026-08-01T10:00:00.000001Z";
const gap: Gap = { rangeStart: "2026-04-01T00:00:00.000000Z", rangeEnd: at, reason: "too old" };

async function migratedDatabase(): Promise<TestDatabase> {
  const database = await createTestDatabase();
  await applyMigrations(database.pool, folder);
  return database;
}

function eventOf(id: string, data = "{}"): MirroredEvent {
  return { id, event: "user.created", createdAt: at, text: `{"id":"${id}","data":${data}}`, data };
}

function pageOf(events: readonly MirroredEvent[]): EventPage {
  const quarantined = [{ text: "[]", reason: "not an object" }];
  const answer = { full: false, last: true, bytes: 0, tookMs: 0, request: "/events", apiTime: at };
  return { events, quarantined, received: events.length + 1, ...answer };
}

/** A role of the database that may do nothing yet. */
async function createRole({ pool, url }: TestDatabase) {
  // A name that has to be quoted.
  const name = `Mirror-${randomBytes(8).toString("hex")}`;
  await pool.query(`create role "${name}" login password 'secret'`);
  const itsUrl = Object.assign(new URL(url), { username: name, password: "secret" });
  const itsPool = createPool({ url: itsUrl.href, applicationName: "test" });
  return {
    name: `"${name}"`,
    pool: itsPool,
    [Symbol.asyncDispose]: async () => {
      await itsPool.end();
      await pool.query(`drop owned by "${name}"; drop role "${name}"`);
    },
  };
}

// ---- Privileges -------------------------------------------------------------------------------------------------

test("names every GRANT that is missing, and a role that got just those can mirror", async () => {
  await using database = await migratedDatabase();
  await using role = await createRole(database);
  const grants = [
    `grant usage on schema workos to ${role.name};`,
    `grant select on workos.__drizzle_migrations to ${role.name};`,
    `grant select, insert, update on workos.events to ${role.name};`,
    `grant select, insert, update, delete on workos.cursors to ${role.name};`,
    `grant select, insert on workos.quarantined_events to ${role.name};`,
    `grant select, insert on workos.gaps to ${role.name};`,
  ];
  const missing = (hint: string) => ({
    name: "Trouble",
    kind: "refused",
    code: "privileges",
    message: "the role may not do all that mirroring takes",
    hint: `run as the owner of the schema: ${hint}`,
  });
  await expect(requirePrivileges(role.pool)).rejects.toMatchObject(missing(grants.join(" ")));
  await database.pool.query(grants.slice(0, 4).join("\n"));
  await expect(requirePrivileges(role.pool)).rejects.toMatchObject(missing(grants.slice(4).join(" ")));
  await database.pool.query(grants.join("\n"));
  await requirePrivileges(role.pool);

  const store = createStore(role.pool);
  const poison = eventOf("event_2", '{"a": "\\u0000"}');
  const to = { after: "event_2", at };
  expect(await applyMigrations(role.pool, folder)).toBe(0);
  expect(await readMigrationState(role.pool, folder)).toEqual({ pending: 0, newer: false });
  const page = pageOf([eventOf("event_1"), poison]);
  expect(await savePage(store, key, page, { from: undefined, to: { at }, gaps: [gap] })).toEqual({
    inserted: new Map([["user.created", 2]]),
    updated: 0,
    quarantined: 2,
    moved: true,
    gaps: [gap],
  });
  const changed = pageOf([eventOf("event_1", '{"a": 1}')]);
  expect(await savePage(store, key, changed, { from: { at }, to })).toEqual({
    inserted: new Map(),
    updated: 1,
    quarantined: 0,
    moved: true,
    gaps: [],
  });
  expect(await readPosition(store, key)).toEqual(to);
  const cursor = { rangeStart: undefined, rangeEnd: undefined, position: to, startedAt: at };
  expect(await store.splitCursor(key, cursor, "2026-08-02T00:00:00.000000Z")).toBe(true);
  await store.forgetHistory(key);
  expect(await readReport(role.pool)).toMatchObject({ events: 2, quarantined_events: 2, gaps: 1 });
});

test("each GRANT is needed", async () => {
  await using database = await migratedDatabase();
  await using role = await createRole(database);
  const tables = {
    __drizzle_migrations: ["select"],
    events: ["select", "insert", "update"],
    cursors: ["select", "insert", "update", "delete"],
    quarantined_events: ["select", "insert"],
    gaps: ["select", "insert"],
  };
  await database.pool.query(
    `grant usage on schema workos to ${role.name};
    ${Object.entries(tables)
      .map(([table, privileges]) => `grant ${privileges} on workos.${table} to ${role.name};`)
      .join("\n")}`,
  );
  for (const [table, privileges] of Object.entries(tables)) {
    for (const privilege of privileges) {
      await database.pool.query(`revoke ${privilege} on workos.${table} from ${role.name}`);
      await expect(requirePrivileges(role.pool), `${privilege} on ${table}`).rejects.toMatchObject({
        hint: `run as the owner of the schema: grant ${privileges.join(", ")} on workos.${table} to ${role.name};`,
      });
      await database.pool.query(`grant ${privilege} on workos.${table} to ${role.name}`);
    }
  }
});

test("a database that was not migrated lacks more than privileges, and says so", async () => {
  await using database = await createTestDatabase();
  await expect(requirePrivileges(database.pool)).rejects.toMatchObject({
    kind: "refused",
    message: 'Postgres: schema "workos" does not exist (SQLSTATE 3F000)',
    hint: "run `workos-events-mirror migrate` with a role that may create the schema workos",
  });
});

// ---- Status -----------------------------------------------------------------------------------------------------

test("reports an empty mirror", async () => {
  await using database = await migratedDatabase();
  expect(await readReport(database.pool)).toEqual({
    cursors: [],
    events: 0,
    last_event: null,
    quarantined_events: 0,
    gaps: 0,
  });
});

const recently = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);

const head = { updated_at: recently, started_at: recently, range_start: null, range_end: null };

test("reports what the tables hold, in UTC whatever the server's zone is", async () => {
  await using database = await migratedDatabase();
  const url = new URL(database.url);
  url.search = "options=-c timezone=Asia/Kolkata -c datestyle=German";
  const pool = createPool({ url: url.href, applicationName: "test" });
  const store = createStore(pool);
  const filtered = { environment: "production", filter: { organizationId: "org_1" } };
  await savePage(store, filtered, pageOf([eventOf("event_2")]), { from: undefined, to: { at }, gaps: [gap] });
  await savePage(store, key, pageOf([eventOf("event_1")]), { from: undefined, to: { after: "event_1", at } });
  expect(await readPosition(store, key)).toEqual({ after: "event_1", at });

  expect(await readReport(pool)).toEqual({
    cursors: [
      { environment: "production", filter: "*", after: "event_1", at, ...head },
      { environment: "production", filter: "organization_id=org_1", after: null, at, ...head },
    ],
    events: 2,
    last_event: { id: "event_1", event: "user.created", created_at: at, mirrored_at: recently },
    quarantined_events: 1,
    gaps: 1,
  });
  await pool.end();
});

test("estimates how many events there are where counting would take long", async () => {
  await using database = await migratedDatabase();
  await database.pool.query(`
    insert into workos.events (id, event, created_at, data, environment)
    select 'event_' || number, 'user.created', now(), '{}', 'production' from generate_series(1, 10001) as number`);
  await database.pool.query("analyze workos.events");
  await database.pool.query("delete from workos.events where id <> 'event_1'");
  expect(await readReport(database.pool)).toMatchObject({ events: 10_001 });
});

test("tells the server's version", async () => {
  await using database = await createTestDatabase();
  const { rows } = await database.pool.query<{ server_version: string }>("show server_version");
  expect(await readServerVersion(database.pool)).toBe(rows[0]?.server_version);
});
