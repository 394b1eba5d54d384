import { chmod, mkdtemp, readlink, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "../support/embedded-postgres.ts";
import { stablePort } from "./stable-port.ts";
import { Violation } from "./violation.ts";

/** How long a server that was killed may take until it answers again. */
const BACK_WITHIN_MS = 60_000;

/**
 * A PostgreSQL of its own, with fsync and synchronous_commit as they are by default, that is killed and started again
 * on the same port.
 */
export class ChaosPostgres implements AsyncDisposable {
  readonly port: number;
  readonly #folder: string;
  #server: EmbeddedPostgres;
  #restarting: Promise<void> = Promise.resolve();
  readonly #pool: pg.Pool;

  static async start(): Promise<ChaosPostgres> {
    const folder = await mkdtemp(join(tmpdir(), "workos-events-mirror-chaos-"));
    await chmod(folder, 0o755); // for root, whose server runs as another user
    const port = await stablePort();
    return new ChaosPostgres(folder, port, await startEmbeddedPostgres(optionsFor(folder, port)));
  }

  private constructor(folder: string, port: number, server: EmbeddedPostgres) {
    this.#folder = folder;
    this.port = port;
    this.#server = server;
    this.#pool = new pg.Pool({ connectionString: server.url, max: 4 });
    this.#pool.on("error", () => undefined);
    this.#pool.on("connect", (client) => client.on("error", () => undefined));
  }

  get url(): string {
    return this.#server.url;
  }

  get pool(): pg.Pool {
    return this.#pool;
  }

  get password(): string {
    return decodeURIComponent(new URL(this.url).password);
  }

  /** The way to it through the network. */
  urlThrough(port: number): string {
    const url = new URL(this.url);
    url.port = String(port);
    return url.href;
  }

  /** Ends the server so, waits, and starts it again; one at a time. */
  restart(how: "kill" | "immediate" | "fast", downMs: number): Promise<void> {
    this.#restarting = this.#restarting.then(() => this.#restart(how, downMs));
    return this.#restarting;
  }

  async #restart(how: "kill" | "immediate" | "fast", downMs: number): Promise<void> {
    await this.#server.stop(how);
    await delay(downMs);
    this.#server = await startEmbeddedPostgres(optionsFor(this.#folder, this.port));
  }

  /** Ends one of the mirrors' sessions with -9, upon which the server ends all others and recovers by itself. */
  async killSession(): Promise<void> {
    const [pid] = await this.#sessions();
    if (pid !== undefined) signal(pid, "SIGKILL");
    await this.ask((pool) => pool.query("select 1"));
  }

  /** Stops every session of the mirrors in its tracks, until the function that it returns is called. */
  async freezeSessions(): Promise<() => void> {
    const pids = await this.#sessions();
    for (const pid of pids) signal(pid, "SIGSTOP");
    return () => {
      for (const pid of pids) signal(pid, "SIGCONT");
    };
  }

  /** Ends sessions of the mirrors in the orderly way; `like` chooses among their names. */
  async endSessions(like = "workos-events-mirror%"): Promise<void> {
    await this.ask((pool) =>
      pool.query("select pg_terminate_backend(pid) from pg_stat_activity where application_name like $1", [like]),
    );
  }

  /** Asks again for as long as the server is away. What it says against the question itself is thrown. */
  async ask<T>(question: (pool: pg.Pool) => Promise<T>): Promise<T> {
    for (const end = performance.now() + BACK_WITHIN_MS; ; await delay(20)) {
      try {
        return await question(this.#pool);
      } catch (error) {
        if (!isAway(error) || performance.now() > end) throw error;
      }
    }
  }

  async close(): Promise<void> {
    await this.#pool.end();
    await this.#server.stop("immediate");
    const elsewhere = await readlink(join(this.#folder, "postgres")).catch(() => undefined);
    if (elsewhere !== undefined) await rm(dirname(elsewhere), { recursive: true, force: true });
    await rm(this.#folder, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #sessions(): Promise<number[]> {
    const { rows } = await this.ask((pool) =>
      pool.query<{ pid: number }>(
        "select pid from pg_stat_activity where application_name like 'workos-events-mirror%' order by random()",
      ),
    );
    return rows.map(({ pid }) => pid);
  }
}

/** Whether the server, and not the question, is what is wrong. */
export function isAway(error: unknown): boolean {
  if (error instanceof Violation) return false;
  return !(error instanceof pg.DatabaseError) || /^(08|57P)/.test(error.code ?? "");
}

function optionsFor(folder: string, port: number) {
  return { dataDir: join(folder, "postgres"), port, database: "mirror" };
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // it is gone already
  }
}
