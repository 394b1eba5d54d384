import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { sql } from "drizzle-orm";
import { expect, test, vi } from "vitest";
import type { EventPage } from "../../src/event.ts";
import { createPool, withConnection } from "../../src/postgres/connect.ts";
import { troubleOfPostgres } from "../../src/postgres/errors.ts";
import { applyMigrations } from "../../src/postgres/migrate.ts";
import { createStore } from "../../src/postgres/store.ts";
import { Trouble } from "../../src/trouble.ts";
import { readPosition, savePage } from "../support/saving.ts";
import { TcpProxy } from "../support/tcp-proxy.ts";
import { asksForNoPassword, createTestDatabase } from "../support/test-database.ts";

const folder = fileURLToPath(new URL("../../migrations", import.meta.url));
const key = { environment: "production", filter: {} };

type Told = Pick<Trouble, "kind" | "code" | "message" | "hint">;

/** What goes wrong when somebody reads a position from the database of `url`. */
async function troubleAt(url: string | URL): Promise<Told> {
  const pool = createPool({ url: String(url), applicationName: "test" });
  try {
    return await troubleOf(readPosition(createStore(pool), key));
  } finally {
    await pool.end();
  }
}

async function troubleOf(work: Promise<unknown>): Promise<Told> {
  const error = await work.then(
    () => new Error("nothing went wrong"),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof Trouble)) throw error;
  return { kind: error.kind, code: error.code, message: error.message, hint: error.hint };
}

const refused = (message: string, hint: string): Told => ({
  kind: "refused",
  code: "postgres_refused",
  message: `Postgres: ${message}`,
  hint,
});

const passing = (message: unknown) => ({
  kind: "passing",
  code: "postgres_failing",
  message,
  hint: "retried by itself; if it lasts, check the server's own log and that it can be reached from here",
});

// ---- Refused ----------------------------------------------------------------------------------------------------

test("a missing database is refused", async () => {
  await using database = await createTestDatabase();
  const url = Object.assign(new URL(database.url), { pathname: "/nowhere" });
  expect(await troubleAt(url)).toEqual(
    refused('database "nowhere" does not exist (SQLSTATE 3D000)', "create the database that DATABASE_URL names"),
  );
});

const checkPassword = "check user and password in DATABASE_URL or the PG* variables";

test("a wrong password, and none, is refused", async ({ skip }) => {
  await using database = await createTestDatabase();
  await using proxy = await TcpProxy.start(database.url);
  const wrong = Object.assign(new URL(database.url), { password: "wrong" });
  if (await asksForNoPassword()) skip("this server asks for no password");
  const said = refused(`password authentication failed for user "${wrong.username}" (SQLSTATE 28P01)`, checkPassword);
  expect(await troubleAt(wrong)).toEqual(said);
  expect(await troubleAt(Object.assign(new URL(proxy.url), { password: "" }))).toEqual({
    ...said,
    message: expect.stringMatching(/^Postgres: SASL: .*password/),
  });
  await vi.waitFor(() => expect(proxy.last).toMatchObject({ destroyed: true }));
});

test("a database that was not migrated is refused", async () => {
  await using database = await createTestDatabase();
  expect(await troubleAt(database.url)).toEqual(
    refused(
      'relation "workos.cursors" does not exist (SQLSTATE 42P01)',
      "run `workos-events-mirror migrate` with a role that may create tables",
    ),
  );
});

test("a missing privilege is refused", async () => {
  const role = `role_${randomBytes(8).toString("hex")}`;
  await using database = await createTestDatabase();
  await applyMigrations(database.pool, folder);
  await database.pool.query(`create role ${role} login password 'secret'`);
  const url = Object.assign(new URL(database.url), { username: role, password: "secret" });
  const grant =
    "grant the role of DATABASE_URL what the message names, or let a role that owns the schema workos run `migrate`";
  try {
    expect(await troubleAt(url)).toEqual(refused("permission denied for schema workos (SQLSTATE 42501)", grant));
    await database.pool.query(`grant usage on schema workos to ${role}`);
    expect(await troubleAt(url)).toEqual(refused("permission denied for table cursors (SQLSTATE 42501)", grant));
  } finally {
    await database.pool.query(`drop owned by ${role}; drop role ${role}`);
  }
});

test("a server that only reads is refused", async () => {
  await using database = await createTestDatabase();
  await applyMigrations(database.pool, folder);
  const url = new URL(database.url);
  url.search = "options=-c default_transaction_read_only=on";
  const pool = createPool({ url: url.href, applicationName: "test" });
  const move = { from: undefined, to: { at: "2026-08-01T00:00:00.000000Z" } };
  expect(await troubleOf(savePage(createStore(pool), key, pageOf("{}"), move))).toEqual(
    refused(
      "cannot execute SELECT in a read-only transaction (SQLSTATE 25006)",
      "the server is read-only: point DATABASE_URL at the primary",
    ),
  );
  await pool.end();
});

function pageOf(data: string): EventPage {
  const event = { id: "event_1", event: "user.created", createdAt: "2026-08-01T00:00:00.000000Z", text: "{}", data };
  return {
    events: [event],
    quarantined: [],
    received: 1,
    full: false,
    last: true,
    bytes: 0,
    tookMs: 0,
    request: "/events",
    apiTime: event.createdAt,
  };
}

// ---- Passing ----------------------------------------------------------------------------------------------------

test("a server that can't be reached is passing", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  expect(await troubleAt(`postgres://user:hunter2@127.0.0.1:${port}/workos`)).toEqual(
    passing(`Postgres: connect ECONNREFUSED 127.0.0.1:${port}`),
  );
});

test("a server that hangs up on a new connection is passing", async () => {
  const server = createServer((socket) => socket.destroy()).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  expect(await troubleAt(`postgres://user:hunter2@127.0.0.1:${port}/workos`)).toEqual(
    passing(expect.stringMatching(/^Postgres: (Connection terminated unexpectedly|read ECONNRESET)$/)),
  );
  server.close();
});

test("a session that the server ends is passing", async () => {
  await using database = await createTestDatabase();
  const pool = createPool({ url: database.url, applicationName: "test" });
  const work = withConnection(pool, (session) => session.execute(sql`select pg_terminate_backend(pg_backend_pid())`));
  expect(await troubleOf(work)).toEqual(
    passing("Postgres: terminating connection due to administrator command (SQLSTATE 57P01)"),
  );
  expect(await withConnection(pool, (session) => session.execute(sql`select 1`))).toMatchObject({ rowCount: 1 });
  await pool.end();
});

test.each<[string, (socket: Socket) => void]>([
  ["closed", (socket) => socket.destroy()],
  ["reset", (socket) => socket.resetAndDestroy()],
])("a connection that is %s in the middle of a statement, or between two, is passing", async (_, cut) => {
  await using database = await createTestDatabase();
  await using proxy = await TcpProxy.start(database.url);
  const pool = createPool({ url: proxy.url, applicationName: "test" });

  const during = withConnection(pool, async (session) => {
    await session.execute(sql`select 1`);
    const sleeping = session.execute(sql`select pg_sleep(60)`);
    cut(proxy.last);
    await sleeping;
  });
  expect(await troubleOf(during)).toEqual(passing(expect.stringMatching(lost)));

  const between = withConnection(pool, async (session) => {
    await session.execute(sql`select 1`);
    const ended = once(proxy.last, "close");
    cut(proxy.last);
    await ended;
    await session.execute(sql`select 1`);
  });
  expect(await troubleOf(between)).toEqual(passing(expect.stringMatching(lost)));

  expect(await withConnection(pool, (session) => session.execute(sql`select 1`))).toMatchObject({ rowCount: 1 });
  await pool.end();
});

const lost =
  /^Postgres: (Connection terminated unexpectedly|(read|write) (ECONNRESET|EPIPE)|Client has encountered a .*)$/;

test.each([
  ["40001", "could not serialize"],
  ["40P01", "deadlock detected"],
  ["53100", "disk full"],
  ["53300", "too many connections"],
  ["55P03", "lock not available"],
  ["57014", "canceling statement"],
  ["57P03", "starting up"],
  ["23514", "a constraint of the user's own"],
  ["P0001", "a trigger of the user's own"],
  ["XX000", "an internal error"],
])("SQLSTATE %s (%s) is passing", async (state) => {
  await using database = await createTestDatabase();
  const pool = createPool({ url: database.url, applicationName: "test" });
  const raise = sql.raw(`do $$ begin raise exception 'said' using errcode = '${state}'; end $$`);
  expect(await troubleOf(withConnection(pool, (session) => session.execute(raise)))).toEqual(
    passing(`Postgres: said (SQLSTATE ${state})`),
  );
  await pool.end();
});

test("an error of the operating system is not taken for one of the server", () => {
  const broken = Object.assign(new Error("write EPIPE"), { code: "EPIPE" });
  expect(troubleOfPostgres(new Error("Failed query", { cause: broken })).message).toBe("Postgres: write EPIPE");
});

// ---- What is never told -----------------------------------------------------------------------------------------

test("no statement, no value and no password is told", async () => {
  await using database = await createTestDatabase();
  await applyMigrations(database.pool, folder);
  await database.pool.query("alter table workos.events add constraint refuses_all check (id = '')");
  const url = new URL(database.url);
  if (url.password === "") url.password = "any-password";
  const pool = createPool({ url: url.href, applicationName: "test" });
  const store = createStore(pool);
  const page = pageOf('{"email": "someone@example.com"}');
  const told = await troubleOf(savePage(store, key, page, { from: undefined, to: { at: page.apiTime } }));
  expect(told).toEqual(
    passing('Postgres: new row for relation "events" violates check constraint "refuses_all" (SQLSTATE 23514)'),
  );
  await pool.end();
});
