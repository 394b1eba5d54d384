import { readFile } from "node:fs/promises";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createPool } from "../../src/postgres/connect.ts";
import { createStore } from "../../src/postgres/store.ts";
import { type Bench, setUp } from "../support/bench.ts";
import { expectMirrored } from "../support/mirrored.ts";
import { OwnPostgres } from "../support/own-postgres.ts";

describe("the roles of docs/roles.md", () => {
  let server: OwnPostgres;
  let bench: Bench;
  const passwords = { workos_migrate: "change-me-1", workos_mirror: "change-me-2", workos_read: "change-me-3" };
  type Role = keyof typeof passwords;

  const urlOf = (role: Role) =>
    Object.assign(new URL(bench.database.url), { username: role, password: passwords[role] }).href;
  const start = (role: Role, ...args: string[]) => bench.start(args, { DATABASE_URL: urlOf(role), HTTP_PORT: "0" });

  beforeAll(async () => {
    const page = await readFile(new URL("../../docs/roles.md", import.meta.url), "utf8");
    const [asSuperuser = "", asOwner = ""] = [...page.matchAll(/```sql\n(.*?)```/gs)].map(([, sql = ""]) => sql);
    server = await OwnPostgres.start();
    await server.query("create database workos");
    bench = await setUp(250, server.database("workos"));
    await bench.database.pool.query(asSuperuser);
    expect(await start("workos_migrate", "migrate").exit).toEqual({ code: 0, signal: null });
    await as("workos_migrate", asOwner);
  });
  afterAll(async () => {
    await bench?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
  });

  async function as(role: Role, statement: string): Promise<pg.QueryResult> {
    const client = new pg.Client(urlOf(role));
    await client.connect();
    return client.query(statement).finally(() => client.end());
  }

  test("who mirrors may do all that mirroring takes", async () => {
    expect(await start("workos_mirror", "sync").exit).toEqual({ code: 0, signal: null });
    const mirror = start("workos_mirror", "run");
    await mirror.says("caught up");
    bench.api.emit(5);
    await bench.storedAll();
    await expectMirrored(bench.database.pool, bench.api.events);
    for (const args of [["check"], ["status"], ["backfill", "--since", "10d"]]) {
      expect(await start("workos_mirror", ...args).exit, args[0]).toEqual({ code: 0, signal: null });
    }
    expect(await mirror.stop()).toEqual({ code: 0, signal: null });
    expect(mirror.log.filter(({ level }) => level === "error" || level === "warn")).toEqual([]);

    const pool = createPool({ url: urlOf("workos_mirror"), applicationName: "test" });
    const key = { environment: "default", filter: {} };
    await createStore(pool).forgetHistory(key);
    await pool.end();
  });

  test.each([
    "delete from workos.events",
    "truncate workos.events",
    "drop table workos.events",
    "alter table workos.events add column mine int",
    "create table workos.mine (id int)",
    "create schema mine",
    "update workos.quarantined_events set reason = ''",
    "delete from workos.quarantined_events",
    "update workos.gaps set reason = ''",
    "delete from workos.gaps",
    "insert into workos.__drizzle_migrations (hash) values ('')",
    "create trigger mine before insert on workos.events execute function suppress_redundant_updates_trigger()",
  ])("who mirrors may not: %s", async (statement) => {
    await expect(as("workos_mirror", statement)).rejects.toMatchObject({ code: "42501" });
  });

  test("who reads may read, ask for the status and listen", async () => {
    const tables = ["events", "cursors", "quarantined_events", "gaps"];
    for (const table of tables) await as("workos_read", `select * from workos.${table}`);
    await as("workos_read", "listen workos_events");
    expect(await start("workos_read", "status").exit).toEqual({ code: 0, signal: null });
  });

  test.each([
    "insert into workos.gaps (environment, filter, range_start, range_end, reason) values ('', '', now(), now(), '')",
    "update workos.cursors set at = now()",
    "delete from workos.events",
    "create table workos.mine (id int)",
    "select * from workos.__drizzle_migrations",
  ])("who reads may not: %s", async (statement) => {
    await expect(as("workos_read", statement)).rejects.toMatchObject({ code: "42501" });
  });

  test("who migrates may not create roles or databases, nor read what is not the mirror's", async () => {
    await bench.database.pool.query("create table others (id int)");
    for (const statement of ["create role mine", "create database mine", "select * from others"]) {
      await expect(as("workos_migrate", statement), statement).rejects.toMatchObject({ code: "42501" });
    }
  });

  test("check tells who reads that it takes more to mirror", async () => {
    const check = start("workos_read", "check");
    expect(await check.exit).toEqual({ code: 1, signal: null });
    expect(check.stdout).toMatch(
      /^failed {2}privileges .*\n {8}fix: .*grant select, insert, update on workos\.events to workos_read;/m,
    );
  });
});

// ---- What is missing is named, and what is named is enough ----------------------------------------------------------

describe("a privilege that is missing", () => {
  /** A database, and a role of it that may log in. */
  async function setUpRole() {
    const server = await OwnPostgres.start();
    await server.query("create role mirror login password 'mirror-password'");
    const bench = await setUp(50, server.database());
    const url = server.urlOf({ username: "mirror", password: "mirror-password" });
    return {
      server,
      bench,
      run: () => bench.run({ DATABASE_URL: url }),
      [Symbol.asyncDispose]: async () => {
        await bench[Symbol.asyncDispose]();
        await server[Symbol.asyncDispose]();
      },
    };
  }

  /** Does what the line says, as the superuser. */
  async function obey({ server }: Awaited<ReturnType<typeof setUpRole>>, whatToDo: unknown): Promise<void> {
    await server.query(String(whatToDo).replace(/^[^:]*: /, ""));
  }

  test.concurrent("to create the schema", async () => {
    await using role = await setUpRole();
    const mirror = role.run();
    const line = await mirror.says("refused");
    expect(line).toMatchObject({
      level: "error",
      code: "postgres_refused",
      msg: "refused: Postgres: permission denied for database postgres (SQLSTATE 42501)",
      whatToDo: "run as a superuser: grant create on database postgres to mirror;",
    });
    await obey(role, line.whatToDo);
    await mirror.says("recovered");
    await role.bench.storedAll();
  });

  test.concurrent("to create tables in a schema that somebody else has made", async () => {
    await using role = await setUpRole();
    await role.server.query("create schema workos; grant create on database postgres to mirror");
    const mirror = role.run();
    const line = await mirror.says("refused");
    expect(line.whatToDo).toBe("run as a superuser: alter schema workos owner to mirror;");
    await obey(role, line.whatToDo);
    await mirror.says("recovered");
    await role.bench.storedAll();
  });

  test.concurrent("to write, from the beginning or taken away", async () => {
    await using role = await setUpRole();
    expect(await role.bench.start(["migrate"]).exit).toEqual({ code: 0, signal: null });
    const mirror = role.run();
    const line = await mirror.says("refused");
    expect(line).toMatchObject({
      level: "error",
      msg: "refused: Postgres: permission denied for schema workos (SQLSTATE 42501)",
      whatToDo: expect.stringMatching(/^run as the owner of the schema: grant usage on schema workos to mirror; grant/),
    });
    await obey(role, line.whatToDo);
    await mirror.says("caught up");

    await role.server.query("revoke insert on workos.events from mirror");
    role.bench.api.emit(5);
    const second = await mirror.line(({ msg }) => msg.includes("permission denied for table events"));
    expect(second.whatToDo).toBe(
      "run as the owner of the schema: grant select, insert, update on workos.events to mirror;",
    );
    await obey(role, second.whatToDo);
    await role.bench.storedAll();
    await expectMirrored(role.bench.database.pool, role.bench.api.events);
  });
});
