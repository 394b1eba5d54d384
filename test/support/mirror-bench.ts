import { fileURLToPath } from "node:url";
import type { EventFilter } from "../../src/event.ts";
import { EffectiveFilter } from "../../src/filter.ts";
import { addMs } from "../../src/instant.ts";
import { Mirror, type MirrorParts } from "../../src/mirror.ts";
import { createPool } from "../../src/postgres/connect.ts";
import { applyMigrations } from "../../src/postgres/migrate.ts";
import { createStore } from "../../src/postgres/store.ts";
import type { RangeParts } from "../../src/range.ts";
import type { Step } from "../../src/step.ts";
import { EVENT_TYPES } from "../../src/workos/catalogue.ts";
import { createClient } from "../../src/workos/client.ts";
import { type SimulatedApi, type SimulatedApiOptions, startSimulatedApi } from "./simulated-api.ts";
import { createTestDatabase, type TestDatabase } from "./test-database.ts";

export const DAY = 86_400_000;

export interface MirrorSettings {
  filter?: EventFilter | undefined;
  sinceDays?: number | undefined;
  pageSize?: number | undefined;
  /** One slice after the other, if not said otherwise. */
  concurrency?: number | "auto" | undefined;
  /** How often the head is looked at beside other slices; never, if not said otherwise. */
  pollIntervalMs?: number | undefined;
  sweep?: { intervalMs: number; windowMs: number } | undefined;
  /** The API's, if not said otherwise. */
  ownClock?: (() => number) | undefined;
  /** Puts something between the mirror and what it works with. */
  around?: ((parts: MirrorParts) => Partial<MirrorParts>) | undefined;
}

/** What reads from a simulated API, as fast as it may. */
export function partsFor(
  api: SimulatedApi,
  { filter, pageSize, concurrency }: { filter: EventFilter; pageSize: number; concurrency: number | "auto" },
): RangeParts {
  const rateLimit = { requests: 10_000, perMs: 1_000 };
  const client = { baseUrl: api.url, readKey: async () => api.apiKey, pageSize, timeoutMs: 1_000, rateLimit };
  return {
    filter: new EffectiveFilter(filter, EVENT_TYPES),
    fetchPage: createClient({ ...client, userAgent: "test" }),
    reading: { concurrency, rateLimit, pageSize },
  };
}

/** A mirror in this process, between a simulated API and a migrated database of its own. */
export class MirrorBench implements AsyncDisposable {
  readonly database: TestDatabase;
  readonly api: SimulatedApi;
  readonly #settings: MirrorSettings;
  readonly #mirror: Mirror;
  readonly #pool: ReturnType<typeof createPool>;

  static async setUp(api: SimulatedApiOptions, settings: MirrorSettings = {}): Promise<MirrorBench> {
    const database = await createTestDatabase();
    await applyMigrations(database.pool, fileURLToPath(new URL("../../migrations", import.meta.url)));
    return new MirrorBench(database, await startSimulatedApi(api), settings);
  }

  constructor(database: TestDatabase, api: SimulatedApi, settings: MirrorSettings) {
    const { filter = {}, sinceDays = 90, pageSize = 100, concurrency = 1, sweep, pollIntervalMs } = settings;
    const parts = partsFor(api, { filter, pageSize, concurrency });
    this.database = database;
    this.api = api;
    this.#settings = settings;
    this.#pool = createPool({ url: database.url, applicationName: "workos-events-mirror test" });
    const mirrorParts: MirrorParts = {
      ...parts,
      environment: "default",
      store: createStore(this.#pool),
      startAt: (now) => addMs(now, -sinceDays * DAY),
      reading: { ...parts.reading, ...(pollIntervalMs !== undefined && { pollIntervalMs }) },
      sweep,
      ownClock: settings.ownClock ?? (() => api.options.now()),
    };
    this.#mirror = new Mirror({ ...mirrorParts, ...settings.around?.(mirrorParts) });
  }

  /** Another process on the same database, as far as memory goes. */
  restart(settings: MirrorSettings = {}): MirrorBench {
    return new MirrorBench(this.database, this.api, { ...this.#settings, ...settings });
  }

  step(): Promise<Step> {
    return this.#mirror.step(new AbortController().signal);
  }

  async toHead(): Promise<Step[]> {
    const steps: Step[] = [];
    do steps.push(await this.step());
    while (steps.at(-1)?.rest === false);
    return steps;
  }

  /** Ends this mirror without a word, as kill -9 would; database and API stay. */
  async kill(): Promise<void> {
    this.#mirror.reset();
    await this.#pool.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await this.api.close();
    await this.database.drop();
  }
}
