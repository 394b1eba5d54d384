import { spawnSync } from "node:child_process";
import { chmod, chown, mkdir, mkdtemp, readFile, readlink, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import pg from "pg";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "./embedded-postgres.ts";
import type { TestDatabase } from "./test-database.ts";
import { until } from "./wait.ts";

/** A server for one test alone: to be configured, killed and started again. Its address stays the same. */
export class OwnPostgres implements AsyncDisposable {
  /** Holds its socket. */
  readonly folder: string;
  readonly #dataDir: string;
  readonly #settings: Record<string, string>;
  #server: EmbeddedPostgres;
  #mounted: string | undefined;

  static async start(settings: Record<string, string> = {}): Promise<OwnPostgres> {
    const folder = await mkdtemp(join(tmpdir(), "mirror-own-"));
    await chmod(folder, 0o777); // for root, whose server runs as another user
    const all = { unix_socket_directories: folder, ...settings };
    const server = await startEmbeddedPostgres({ dataDir: join(folder, "postgres"), fsync: false, settings: all });
    return new OwnPostgres(folder, server, all);
  }

  private constructor(folder: string, server: EmbeddedPostgres, settings: Record<string, string>) {
    this.folder = folder;
    this.#dataDir = join(folder, "postgres");
    this.#server = server;
    this.#settings = settings;
  }

  /** Of a superuser. */
  get url(): string {
    return this.#server.url;
  }

  /** The same server for another role, host or parameter. */
  urlOf({
    search = "",
    ...parts
  }: {
    username?: string;
    password?: string;
    hostname?: string;
    search?: string;
  }): string {
    return Object.assign(new URL(this.url), parts, { search }).href;
  }

  async query(statement: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
    const client = new pg.Client(this.url);
    client.on("error", () => undefined);
    await client.connect();
    try {
      return (await client.query(statement, values)).rows;
    } finally {
      await client.end();
    }
  }

  /** A database for a bench; it goes with the server. */
  database(name = "postgres"): TestDatabase {
    const url = Object.assign(new URL(this.url), { pathname: name }).href;
    const pool = new pg.Pool({ connectionString: url });
    pool.on("error", () => undefined);
    const drop = () => pool.end();
    return { url, pool, drop, [Symbol.asyncDispose]: drop };
  }

  /** Another server with the same data, which is stopped for a moment to be copied. */
  async copy(): Promise<OwnPostgres> {
    const folder = await mkdtemp(join(tmpdir(), "mirror-own-"));
    await chmod(folder, 0o777);
    await this.stop();
    spawnSync("cp", ["-a", this.#dataDir, `${folder}/`]);
    await this.startAgain();
    const settings = { ...this.#settings, unix_socket_directories: folder };
    const server = await startEmbeddedPostgres({ dataDir: join(folder, "postgres"), fsync: false, settings });
    return new OwnPostgres(folder, server, settings);
  }

  /** A folder on a disk of its own that is soon full; or why there can be none. It takes a right to mount. */
  async smallDisk(megabytes: number): Promise<{ path: string } | { refusal: string }> {
    const path = join(this.folder, "small");
    await mkdir(path);
    const { uid, gid } = await stat(`${this.#dataDir}/`);
    const options = `size=${megabytes}m,uid=${uid},gid=${gid},mode=0700`;
    const mount = spawnSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", path], { encoding: "utf8" });
    if (mount.status !== 0) return { refusal: mount.error?.message ?? mount.stderr.trim() };
    this.#mounted = path;
    return { path };
  }

  /** Puts a file into the data directory, for the server's eyes alone. */
  async put(name: string, content: string | Buffer): Promise<void> {
    const path = join(this.#dataDir, name);
    const { uid, gid } = await stat(`${this.#dataDir}/`);
    await writeFile(path, content, { mode: 0o600 });
    await chown(path, uid, gid);
  }

  /** Sets what takes effect without a restart. */
  async configure(settings: Record<string, string>): Promise<void> {
    for (const [name, value] of Object.entries(settings)) await this.query(`alter system set ${name} = '${value}'`);
    await this.reload();
    for (const [name, value] of Object.entries(settings)) {
      await until(async () => ((await this.#shows(name)) === value ? true : undefined), `${name} = ${value}`);
    }
  }

  /** Replaces who may come in, and how. */
  async admit(rules: readonly string[]): Promise<void> {
    await this.put("pg_hba.conf", `${rules.join("\n")}\n`);
    await this.reload();
  }

  async reload(): Promise<void> {
    const before = await this.query("select pg_conf_load_time()::text as at");
    await this.query("select pg_reload_conf()");
    const loaded = async () => (await this.query("select pg_conf_load_time()::text as at"))[0]?.at;
    await until(async () => ((await loaded()) === before[0]?.at ? undefined : true), "the configuration to be read");
  }

  /** As a power cut would: without a word to anybody. */
  async kill(): Promise<void> {
    const [pid] = (await readFile(join(this.#dataDir, "postmaster.pid"), "utf8")).split("\n");
    process.kill(Number(pid), "SIGKILL");
    await this.#server.exited;
  }

  async stop(how: "fast" | "immediate" = "fast"): Promise<void> {
    await this.#server.stop(how);
  }

  async startAgain(): Promise<void> {
    const port = Number(new URL(this.url).port);
    this.#server = await startEmbeddedPostgres({
      dataDir: this.#dataDir,
      port,
      fsync: false,
      settings: this.#settings,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop("immediate");
    if (this.#mounted !== undefined) spawnSync("umount", [this.#mounted]);
    const elsewhere = await readlink(this.#dataDir).catch(() => undefined);
    if (elsewhere !== undefined) await rm(dirname(elsewhere), { recursive: true, force: true });
    await rm(this.folder, { recursive: true, force: true });
  }

  async #shows(name: string): Promise<unknown> {
    return (await this.query(`select current_setting($1) as value`, [name]))[0]?.value;
  }
}
