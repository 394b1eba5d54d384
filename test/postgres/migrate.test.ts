import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdirSync } from "node:fs";
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { getTableConfig } from "drizzle-orm/pg-core";
import { expect, test } from "vitest";
import { createPool } from "../../src/postgres/connect.ts";
import { applyMigrations, readMigrationState } from "../../src/postgres/migrate.ts";
import { cursors, events, gaps, quarantinedEvents } from "../../src/postgres/schema.ts";
import { createTestDatabase, type TestDatabase } from "../support/test-database.ts";

const repository = fileURLToPath(new URL("../..", import.meta.url));
const folder = join(repository, "migrations");
const MIGRATIONS = readdirSync(folder).filter((name) => name.endsWith(".sql")).length;

async function tables({ pool }: TestDatabase): Promise<string[]> {
  const { rows } = await pool.query<{ name: string }>(
    "select relname as name from pg_class where relnamespace = to_regnamespace('workos') and relkind = 'r' order by 1",
  );
  return rows.map(({ name }) => name);
}

const allTables = ["__drizzle_migrations", "cursors", "events", "gaps", "quarantined_events"];

/** A copy of the migrations, for one that is not ours. */
async function copyMigrations(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "migrations-"));
  await cp(folder, path, { recursive: true });
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

async function addMigration(path: string, statements: string[]): Promise<void> {
  const journalFile = join(path, "meta", "_journal.json");
  const journal = JSON.parse(await readFile(journalFile, "utf8"));
  const { idx, when } = journal.entries.at(-1);
  journal.entries.push({ idx: idx + 1, version: "7", when: when + 1, tag: "next", breakpoints: true });
  await writeFile(journalFile, JSON.stringify(journal));
  await writeFile(join(path, "next.sql"), statements.join("\n--> statement-breakpoint\n"));
}

test("migrates an empty database, and has nothing to do the second time", async () => {
  await using database = await createTestDatabase();
  expect(await readMigrationState(database.pool, folder)).toEqual({ pending: MIGRATIONS, newer: false });
  expect(await applyMigrations(database.pool, folder)).toBe(MIGRATIONS);
  expect(await readMigrationState(database.pool, folder)).toEqual({ pending: 0, newer: false });
  expect(await applyMigrations(database.pool, folder)).toBe(0);
  expect(await tables(database)).toEqual(allTables);
});

test("replicas that start together migrate once", async () => {
  await using database = await createTestDatabase();
  const applied = await Promise.all([1, 2, 3, 4].map(() => applyMigrations(database.pool, folder)));
  expect(applied.sort()).toEqual([0, 0, 0, MIGRATIONS]);
  expect(await tables(database)).toEqual(allTables);
});

test("applies only what is new", async () => {
  await using database = await createTestDatabase();
  await using copy = await copyMigrations();
  await applyMigrations(database.pool, folder);
  await addMigration(copy.path, ["create table workos.next (id int)", "comment on table workos.next is 'next'"]);
  expect(await readMigrationState(database.pool, copy.path)).toEqual({ pending: 1, newer: false });
  expect(await applyMigrations(database.pool, copy.path)).toBe(1);
  expect(await tables(database)).toEqual([...allTables, "next"].sort());
});

test("a role that may not create anything has nothing to do in a migrated database", async () => {
  const role = `reader_${randomBytes(8).toString("hex")}`;
  await using database = await createTestDatabase();
  await applyMigrations(database.pool, folder);
  await database.pool.query(`
    create role ${role} login password 'reader';
    grant usage on schema workos to ${role};
    grant select on workos.__drizzle_migrations to ${role}`);
  const url = Object.assign(new URL(database.url), { username: role, password: "reader" });
  const pool = createPool({ url: url.href, applicationName: "test" });
  try {
    expect(await applyMigrations(pool, folder)).toBe(0);
    await using copy = await copyMigrations();
    await addMigration(copy.path, ["create table workos.next (id int)"]);
    await expect(applyMigrations(pool, copy.path)).rejects.toMatchObject({
      kind: "refused",
      code: "postgres_refused",
      message: expect.stringMatching(/^Postgres: permission denied for .*42501/),
      hint: expect.stringMatching(/^run `workos-events-mirror migrate` as \S+, who owns the schema workos$/),
    });
  } finally {
    await pool.end();
    await database.pool.query(`drop owned by ${role}; drop role ${role}`);
  }
});

test.concurrent("a migration may take longer than any other query", async () => {
  await using database = await createTestDatabase();
  await using slow = await copyMigrations();
  await addMigration(slow.path, ["select pg_sleep(21)"]);
  const pool = createPool({ url: database.url, applicationName: "test" });
  expect(await applyMigrations(pool, slow.path)).toBe(MIGRATIONS + 1);
  await pool.end();
}, 60_000);

test("a migration that fails takes back all of them, ends the program and tells why", async () => {
  await using database = await createTestDatabase();
  await using broken = await copyMigrations();
  await addMigration(broken.path, ["create table workos.half (id int)", "select 1 / 0"]);

  for (const attempt of ["first", "second"]) {
    await expect(applyMigrations(database.pool, broken.path), attempt).rejects.toMatchObject({
      name: "Trouble",
      kind: "fatal",
      code: "migration_failed",
      message: "a migration failed and was rolled back: Postgres: division by zero (SQLSTATE 22012)",
      hint: "see the reason; nothing was changed, and nothing was mirrored",
    });
  }

  expect(await readMigrationState(database.pool, folder)).toEqual({ pending: MIGRATIONS, newer: false });
  expect(await tables(database)).toEqual([]);
  expect(await applyMigrations(database.pool, folder)).toBe(MIGRATIONS);
});

test.each([
  ["ends the connection", "select pg_terminate_backend(pg_backend_pid())"],
  ["is shutting down", "do $$ begin raise exception sqlstate '57P01'; end $$"],
  ["is short of disk", "do $$ begin raise exception sqlstate '53100'; end $$"],
  ["finds a deadlock", "do $$ begin raise exception sqlstate '40P01'; end $$"],
])("a server that %s in the middle of a migration is tried again", async (_, statement) => {
  await using database = await createTestDatabase();
  await using interrupted = await copyMigrations();
  await addMigration(interrupted.path, [statement]);
  const pool = createPool({ url: database.url, applicationName: "test" });
  await expect(applyMigrations(pool, interrupted.path)).rejects.toMatchObject({
    kind: "passing",
    code: "postgres_failing",
  });
  expect(await applyMigrations(pool, folder)).toBe(MIGRATIONS);
  await pool.end();
});

test("leaves a database alone that a newer version has migrated", async () => {
  await using database = await createTestDatabase();
  await using newer = await copyMigrations();
  await addMigration(newer.path, ["create table workos.next (id int)"]);
  expect(await applyMigrations(database.pool, newer.path)).toBe(MIGRATIONS + 1);
  expect(await readMigrationState(database.pool, folder)).toEqual({ pending: 0, newer: true });
  expect(await applyMigrations(database.pool, folder)).toBe(0);
});

test("the migrations say what src/postgres/schema.ts says: drizzle-kit has nothing to add", async () => {
  await using copy = await copyMigrations();
  const before = await readdir(copy.path, { recursive: true });
  const schema = join(repository, "src", "postgres", "schema.ts");
  // It takes a path relative to where it runs, and no other.
  const args = ["generate", "--dialect", "postgresql", "--schema", schema, "--out", "."];
  const kit = join(repository, "node_modules", "drizzle-kit", "bin.cjs");
  const { stdout } = await promisify(execFile)(process.execPath, [kit, ...args], { cwd: copy.path });
  expect(stdout).toContain("No schema changes");
  expect(await readdir(copy.path, { recursive: true })).toEqual(before);
});

test("every table and column has a comment", async () => {
  await using database = await createTestDatabase();
  await applyMigrations(database.pool, folder);
  const { rows } = await database.pool.query(`
    select relname, attname
    from pg_class join pg_attribute on attrelid = pg_class.oid and attnum >= 0 and not attisdropped
    where relnamespace = 'workos'::regnamespace
      and relkind in ('r', 'p', 'v', 'm')
      and relname <> '__drizzle_migrations'
      and col_description(pg_class.oid, attnum) is null
    union all
    select relname, null
    from pg_class
    where relnamespace = 'workos'::regnamespace
      and relkind in ('r', 'p', 'v', 'm')
      and relname <> '__drizzle_migrations'
      and obj_description(oid, 'pg_class') is null`);
  expect(rows).toEqual([]);
});

test("the indexes are those of src/postgres/schema.ts", async () => {
  await using database = await createTestDatabase();
  await applyMigrations(database.pool, folder);
  const { rows } = await database.pool.query(`
    select relname as name, amname as method, indisunique as "unique", pg_get_expr(indpred, indrelid) as "where",
      (select array_agg(attname::text order by attnum) from pg_attribute where attrelid = pg_class.oid) as columns
    from pg_index
    join pg_class on pg_class.oid = indexrelid
    join pg_am on pg_am.oid = relam
    where relnamespace = 'workos'::regnamespace
      and indrelid <> 'workos.__drizzle_migrations'::regclass
    order by relname`);
  expect(rows).toEqual([events, cursors, quarantinedEvents, gaps].flatMap(indexesOf).sort(byName));
});

interface Index {
  name: string | undefined;
  method: string | undefined;
  unique: boolean;
  where: string | null;
  columns: string[];
}

function indexesOf(table: Parameters<typeof getTableConfig>[0]): Index[] {
  const { name: tableName, columns, indexes, primaryKeys } = getTableConfig(table);
  const unique = { method: "btree", unique: true, where: null };
  return [
    ...columns
      .filter((column) => column.primary)
      .map(({ name }) => ({ ...unique, name: `${tableName}_pkey`, columns: [name] })),
    ...columns
      .filter((column) => column.isUnique)
      .map(({ name, uniqueName }) => ({ ...unique, name: uniqueName, columns: [name] })),
    ...primaryKeys.map((key) => ({ ...unique, name: key.getName(), columns: key.columns.map(({ name }) => name) })),
    ...indexes.map(({ config }) => {
      const names = config.columns.map((column) => ("name" in column ? String(column.name) : "an expression"));
      const where = config.where === undefined ? null : `(${names[0]} IS NOT NULL)`;
      return { name: config.name, method: config.method, unique: config.unique, where, columns: names };
    }),
  ];
}

function byName(a: Index, b: Index): number {
  return String(a.name) < String(b.name) ? -1 : 1;
}

test("refuses a database whose encoding can't hold every event, before it creates anything", async () => {
  await using database = await createTestDatabase();
  const name = `latin1_${randomBytes(8).toString("hex")}`;
  await database.pool.query(`create database ${name} encoding 'LATIN1' locale 'C' template template0`);
  const url = new URL(database.url);
  url.pathname = name;
  const pool = createPool({ url: url.href, applicationName: "test" });
  try {
    await expect(applyMigrations(pool, folder)).rejects.toMatchObject({
      message: "the database's encoding is LATIN1, which can't hold every event",
      kind: "fatal",
      code: "encoding_refused",
    });
    expect((await pool.query("select to_regnamespace('workos') as schema")).rows).toEqual([{ schema: null }]);
  } finally {
    await pool.end();
    await database.pool.query(`drop database ${name} with (force)`);
  }
});
