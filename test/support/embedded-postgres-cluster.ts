import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import * as files from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { EmbeddedPostgresOptions } from "./embedded-postgres.ts";
import { diskFull, EmbeddedPostgresError, explain, isAlive, readIfThere } from "./embedded-postgres-errors.ts";
import { asAccount, holdsFiles, type Place } from "./embedded-postgres-place.ts";

// The cluster: made once, whole or not at all.

export async function openCluster(place: Place, options: EmbeddedPostgresOptions): Promise<string> {
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
