import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, lstat, mkdir, mkdtemp, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import pg from "pg";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { EmbeddedPostgresError, startEmbeddedPostgres } from "./support/embedded-postgres.ts";
import { freePort } from "./support/free-port.ts";

const isRoot = process.getuid?.() === 0;
let directory: string;
let dataDir: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "workos-events-mirror-start-"));
  await chmod(directory, 0o755);
  dataDir = join(directory, ".data", "postgres");
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

describe("the PostgreSQL of npm start", () => {
  test("keeps its data, its password and its port from one start to the next", async () => {
    const port = await freePort();
    const start = () => startEmbeddedPostgres({ dataDir, port, database: "workos", fsync: false });
    const first = await start();
    await query(first.url, "create table kept as select 42 as answer");
    await first.stop();
    await using second = await start();
    expect(second.url).toBe(first.url);
    expect(await query(second.url, "select answer from kept")).toEqual([{ answer: 42 }]);
  });

  test("is a UTF-8, UTC, byte-sorting server that only this machine and its password can reach", async () => {
    await using server = await startEmbeddedPostgres({ dataDir, fsync: false });
    const settings = ["server_encoding", "timezone", "listen_addresses", "unix_socket_directories", "max_connections"];
    const columns = settings.map((name) => `current_setting('${name}') as ${name}`);
    expect(await query(server.url, `select ${columns.join(", ")}, 'a' > 'B' as byte_order`)).toEqual([
      {
        server_encoding: "UTF8",
        timezone: "UTC",
        listen_addresses: "127.0.0.1",
        unix_socket_directories: "",
        max_connections: "200",
        byte_order: true,
      },
    ]);
    const stranger = new URL(server.url);
    stranger.password = "postgres";
    await expect(query(stranger.href, "select 1")).rejects.toThrow("password authentication failed");
    expect((await lstat(join(dataDir, "password"))).mode & 0o777).toBe(0o600);
  });

  test("loses nothing when everything is killed, and starts again", async () => {
    const killed = await startElsewhere();
    await query(killed.url, "create table kept as select 42 as answer");
    const serverPid = Number.parseInt(await readFile(join(dataDir, "postmaster.pid"), "utf8"), 10);
    process.kill(serverPid, "SIGKILL");
    await kill(killed.starter);
    await using server = await startEmbeddedPostgres({ dataDir });
    expect(await query(server.url, "select answer from kept")).toEqual([{ answer: 42 }]);
  });

  test("follows a server whose starter was killed, and refuses to join one whose starter lives", async () => {
    const running = await startElsewhere();
    await query(running.url, "create table kept as select 42 as answer");
    await expectSentence(startEmbeddedPostgres({ dataDir }), /already runs on .*Stop that one first/);
    await kill(running.starter);
    await using server = await startEmbeddedPostgres({ dataDir });
    expect(await query(server.url, "select answer from kept")).toEqual([{ answer: 42 }]);
  });

  test("starts although its old process id now belongs to somebody else", async () => {
    await (await startEmbeddedPostgres({ dataDir, fsync: false })).stop();
    await writeFile(join(dataDir, "postmaster.pid"), `${process.pid}\n${dataDir}\n`);
    await using server = await startEmbeddedPostgres({ dataDir, fsync: false });
    expect(await query(server.url, "select 1 as one")).toEqual([{ one: 1 }]);
  });

  test("says in one sentence that the port is taken", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const address = other.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    await expectSentence(startEmbeddedPostgres({ dataDir, port, fsync: false }), /Port \d+ .* is taken/);
    other.close();
  });

  test("says in one sentence that the data directory cannot be used", async () => {
    await writeFile(join(directory, ".data"), "a file where the directory should be");
    await expectSentence(startEmbeddedPostgres({ dataDir }), /data directory .* cannot be used .*Make it writable/);
  });

  test("says in one sentence that the data are of another major version", async () => {
    await mkdir(dataDir, { recursive: true });
    await writeFile(join(dataDir, "PG_VERSION"), "9.6\n");
    if (isRoot) await chmod(dataDir, 0o755);
    await expectSentence(startEmbeddedPostgres({ dataDir }), /made by PostgreSQL 9.6, and this is PostgreSQL \d+\./);
  });

  test.skipIf(!isRoot)("run by root, lives where its user can reach it (only root can try this)", async () => {
    await chmod(directory, 0o700);
    const lines: string[] = [];
    const first = await startEmbeddedPostgres({ dataDir, fsync: false, log: (line) => lines.push(line) });
    const home = dirname(await readlink(dataDir));
    try {
      await query(first.url, "create table kept as select 42 as answer");
      await first.stop();
      expect(lines.filter((line) => line.includes(home) && line.includes(dataDir))).toHaveLength(1);
      await using second = await startEmbeddedPostgres({ dataDir, fsync: false });
      expect(await query(second.url, "select answer from kept")).toEqual([{ answer: 42 }]);
    } finally {
      await first.stop();
      await rm(home, { recursive: true });
    }
  });
});

async function expectSentence(start: Promise<unknown>, sentence: RegExp): Promise<void> {
  const error = await start.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(EmbeddedPostgresError);
  expect((error as EmbeddedPostgresError).message).toMatch(sentence);
  expect((error as EmbeddedPostgresError).message).not.toContain("\n");
}

async function query(url: string, statement: string): Promise<unknown[]> {
  const client = new pg.Client(url);
  // The server may be killed before the connection is closed.
  client.on("error", () => {});
  await client.connect();
  try {
    return (await client.query(statement)).rows;
  } finally {
    await client.end();
  }
}

/** A server that another process has started, which can be killed without ending this one. */
async function startElsewhere(): Promise<{ starter: ChildProcess; url: string }> {
  const script = `
    const { startEmbeddedPostgres } = await import(process.argv[1]);
    console.log((await startEmbeddedPostgres({ dataDir: process.argv[2] })).url);`;
  const module = new URL("./support/embedded-postgres.ts", import.meta.url).href;
  const starter = spawn(process.execPath, ["--input-type=module", "-e", script, module, dataDir], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [url] = await once(createInterface(starter.stdout), "line");
  return { starter, url };
}

async function kill(starter: ChildProcess): Promise<void> {
  starter.kill("SIGKILL");
  await once(starter, "exit");
}
