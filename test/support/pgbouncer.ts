import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { asAccount, findAccount } from "./embedded-postgres-place.ts";
import { freePort } from "./free-port.ts";

export function hasPgBouncer(): boolean {
  return spawnSync("pgbouncer", ["--version"]).status === 0;
}

/** Debian's PgBouncer before a server. It lets in whoever comes, and goes on as the user of `target`. */
export class PgBouncer implements AsyncDisposable {
  readonly url: string;
  readonly #child: ChildProcess;
  readonly #folder: string;

  static async start(target: string, poolMode: "session" | "transaction"): Promise<PgBouncer> {
    const { hostname, port, username, password, pathname } = new URL(target);
    const folder = await mkdtemp(join(tmpdir(), "mirror-pgbouncer-"));
    await chmod(folder, 0o755);
    const listenPort = await freePort();
    const config = join(folder, "pgbouncer.ini");
    await writeFile(
      config,
      `[databases]
      * = host=${hostname} port=${port || 5432} user=${username} password='${decodeURIComponent(password)}'
      [pgbouncer]
      listen_addr = 127.0.0.1
      listen_port = ${listenPort}
      unix_socket_dir =
      auth_type = any
      pool_mode = ${poolMode}`.replaceAll(/^ +/gm, ""),
    );
    // it does not run as root, either; and it goes when this process does, however that goes
    const child = spawn("/bin/sh", ["-c", 'pgbouncer "$1" & read -r _; kill -9 $!; wait', "sh", config], {
      ...asAccount(await findAccount(folder)),
      stdio: ["pipe", "ignore", "pipe"],
    });
    const lines = createInterface({ input: child.stderr });
    const isUp = new Promise((resolve) => lines.on("line", (line) => line.includes("process up") && resolve(true)));
    if (await Promise.race([isUp, once(child, "exit").then(() => false)])) {
      return new PgBouncer(`postgres://${username}:any@127.0.0.1:${listenPort}${pathname}`, child, folder);
    }
    throw new Error("PgBouncer did not start");
  }

  private constructor(url: string, child: ChildProcess, folder: string) {
    this.url = url;
    this.#child = child;
    this.#folder = folder;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#child, "exit");
    this.#child.stdin?.end();
    await ended;
    await rm(this.#folder, { recursive: true });
  }
}
