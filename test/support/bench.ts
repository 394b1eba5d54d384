import { MirrorProcess } from "./mirror-process.ts";
import { type SimulatedApi, startSimulatedApi } from "./simulated-api.ts";
import { generateEvents } from "./simulated-events.ts";
import { createTestDatabase, type TestDatabase } from "./test-database.ts";
import { until } from "./wait.ts";

export const DAY = 86_400_000;

/** A bench whose API has that many events; with a database of its own, unless it is given one. */
export async function setUp(count: number, database?: TestDatabase): Promise<Bench> {
  const now = Date.now();
  const events = generateEvents({ count, from: now - 9 * DAY, to: now - 60_000 });
  return new Bench(database ?? (await createTestDatabase()), await startSimulatedApi({ events }));
}

/** A simulated API, an empty database, and the processes between them. */
export class Bench implements AsyncDisposable {
  readonly database: TestDatabase;
  readonly api: SimulatedApi;
  readonly #processes: MirrorProcess[] = [];

  constructor(database: TestDatabase, api: SimulatedApi) {
    this.database = database;
    this.api = api;
  }

  run(env: Record<string, string> = {}): MirrorProcess {
    return this.start(["run"], env);
  }

  start(args: readonly string[], env: Record<string, string> = {}): MirrorProcess {
    const process = new MirrorProcess(args, {
      WORKOS_API_KEY: this.api.apiKey,
      WORKOS_BASE_URL: this.api.url,
      DATABASE_URL: this.database.url,
      SYNC_SINCE: "20d",
      POLL_INTERVAL: "200ms",
      ...env,
    });
    this.#processes.push(process);
    return process;
  }

  async storedAll(): Promise<void> {
    const count = this.api.events.length;
    await until(async () => ((await this.#stored()) >= count ? true : undefined), `${count} events`);
  }

  async waitingForLocks(): Promise<number> {
    const { rows } = await this.database.pool.query(
      "select count(*)::int from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
    );
    return rows[0].count;
  }

  async #stored(): Promise<number> {
    const { rows } = await this.database.pool.query("select to_regclass('workos.events') is not null as migrated");
    if (!rows[0].migrated) return 0;
    return (await this.database.pool.query("select count(*)::int from workos.events")).rows[0].count;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const process of this.#processes) await process[Symbol.asyncDispose]();
    await this.api.close();
    await this.database.drop();
  }
}
