import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readConnection } from "../../src/connection.ts";
import type { ConnectionParameters } from "../../src/connection-parameters.ts";
import { createPool, withConnection } from "../../src/postgres/connect.ts";
import { createPasswordReader } from "../../src/postgres/password.ts";
import { MirrorProcess } from "../support/mirror-process.ts";
import { asksForNoPassword, createTestDatabase } from "../support/test-database.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mirror-password-"));
});
afterAll(() => rm(folder, { recursive: true }));

function parametersOf(url: string, env: Record<string, string> = {}): ConnectionParameters {
  const { parameters, problems } = readConnection({ url, urlName: "DATABASE_URL", env, readFile: () => "" });
  if (parameters === undefined) throw new Error(problems.join());
  return parameters;
}

async function passfile(content: string): Promise<string> {
  const path = join(folder, "pgpass");
  await writeFile(path, content, { mode: 0o600 });
  await chmod(path, 0o600);
  return path;
}

const reader = (parameters: ConnectionParameters, urlFile?: string, secrets = new Set<string>()) =>
  createPasswordReader({ parameters, urlFile, secrets });

test("a password file is read as psql reads it, its first line that fits", async () => {
  const path = await passfile(
    [
      "# db:5432:x:u:commented",
      "db:5432:x:u",
      "other:5432:x:u:of another host",
      "db:5433:x:u:of another port",
      "db:5432:y:u:of another database",
      "db:5432:x:v:of another user",
      "db:*:x:u:a\\:b\\\\c d:ignored",
      "*:*:*:*:the last",
      "localhost:5432:x:u:too late",
    ].join("\r\n"),
  );
  const passwordFor = (url: string) => reader(parametersOf(url, { PGPASSFILE: path }))();
  expect(await passwordFor("postgres://u@db/x")).toBe("a:b\\c d");
  expect(await passwordFor("postgres://w@db/x")).toBe("the last");
  expect(await passwordFor("postgres://u:own@db/x")).toBe("own");
  await passfile("localhost:5432:x:u:of the socket\n");
  expect(await passwordFor("postgres://u@/x?host=/tmp")).toBe("of the socket");
  expect(await passwordFor("postgres://u@db/x")).toBe("");
});

test("a password file that others can read is refused, as psql does", async () => {
  const path = await passfile("*:*:*:*:secret\n");
  await chmod(path, 0o640);
  await expect(reader(parametersOf("postgres://u@db", { PGPASSFILE: path }))()).rejects.toMatchObject({
    name: "Trouble",
    kind: "refused",
    code: "password_unreadable",
    message: `PGPASSFILE is open to group or others: ${path}`,
    hint: `chmod 600 ${path}, as psql wants it, too`,
  });
});

test("a password that is rotated in DATABASE_URL_FILE heals a refusal, and is known as a secret", async ({ skip }) => {
  if (await asksForNoPassword()) skip("this server asks for no password");
  await using database = await createTestDatabase();
  const role = `rotated_${Date.now()}`;
  await database.pool.query(`create role ${role} login password 'first-password'`);
  const url = Object.assign(new URL(database.url), { username: role, password: "first-password" });
  const file = join(folder, "url");
  const secrets = new Set<string>();
  await writeFile(file, `${url.href}\n`);
  const parameters = parametersOf(url.href);
  const pool = createPool({ parameters, applicationName: "test", readPassword: reader(parameters, file, secrets) });
  const connect = () => withConnection(pool, async () => "connected");
  try {
    expect(await connect()).toBe("connected");
    await database.pool.query(`alter role ${role} password 'second-password'`);
    await database.pool.query("select pg_terminate_backend(pid) from pg_stat_activity where usename = $1", [role]);
    await expect.poll(() => pool.idleCount).toBe(0);
    await expect(connect()).rejects.toMatchObject({ kind: "refused", code: "postgres_refused" });
    await writeFile(file, Object.assign(url, { password: "second-password" }).href);
    expect(await connect()).toBe("connected");
    expect([...secrets]).toEqual(["first-password", "second-password"]);
    await writeFile(file, "postgres://u:tops3cret#@db");
    await database.pool.query("select pg_terminate_backend(pid) from pg_stat_activity where usename = $1", [role]);
    await expect.poll(() => pool.idleCount).toBe(0);
    await expect(connect()).rejects.toMatchObject({
      kind: "refused",
      message:
        "DATABASE_URL_FILE is no URL: characters such as @ : / ? # % in user or password must be percent-encoded",
    });
    await rm(file);
    await expect(connect()).rejects.toMatchObject({
      message: expect.stringMatching(/^DATABASE_URL_FILE can't be read/),
    });
  } finally {
    await pool.end();
    await database.pool.query(`drop role ${role}`);
  }
});

test("the program takes everything from the variables of psql", async () => {
  await using database = await createTestDatabase();
  const { hostname, port, username, password, pathname } = new URL(database.url);
  const variables = { PGHOST: hostname, PGPORT: port || "5432", PGUSER: username, PGDATABASE: pathname.slice(1) };
  const path = await passfile(`${hostname}:*:*:*:${decodeURIComponent(password)}\n`);
  for (const secret of [{ PGPASSWORD: decodeURIComponent(password) }, { PGPASSFILE: path }]) {
    await using migrate = new MirrorProcess(["migrate"], { ...variables, ...secret, PGAPPNAME: "mine" });
    expect(await migrate.exit).toEqual({ code: 0, signal: null });
    expect(migrate.stderr).toBe("");
  }
});

test("every variable that is wrong is named in one report", async () => {
  await using mirror = new MirrorProcess(["migrate"], {
    PGHOST: "db",
    PGPORT: "postgres",
    PGSSLMODE: "verify_full",
    PGSERVICE: "mirror",
  });
  expect(await mirror.exit).toEqual({ code: 2, signal: null });
  expect(mirror.stderr.split("\n")).toEqual([
    "the configuration has 3 mistakes:",
    "  PGPORT must be a port number",
    "  PGSSLMODE must be one of disable, allow, prefer, require, verify-ca, verify-full",
    "  PGSERVICE is not supported: give what the service file holds as PGHOST, PGUSER and so on, or as DATABASE_URL",
    "",
  ]);
});
