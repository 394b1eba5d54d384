import { SeededRandom } from "../support/simulated-random.ts";
import { ChaosApi } from "./api.ts";
import { CursorCheck } from "./checks.ts";
import { type Consumer, ListeningConsumer, PollingConsumer, TransactionalConsumer } from "./consumers.ts";
import { CursorHistory } from "./cursor-history.ts";
import { ChaosPostgres } from "./database.ts";
import { Figures } from "./figures.ts";
import { Network } from "./network.ts";
import type { Plan } from "./plan.ts";
import { Replica } from "./replica.ts";
import { Violation } from "./violation.ts";

interface Parts {
  api: ChaosApi;
  postgres: ChaosPostgres;
  network: Network;
}

/** An API, a Postgres, the network between them, mirrors, and programs that read what they mirror. */
export class World implements AsyncDisposable {
  readonly plan: Plan;
  readonly api: ChaosApi;
  readonly postgres: ChaosPostgres;
  readonly network: Network;
  readonly check: CursorCheck;
  readonly history: CursorHistory;
  readonly figures = new Figures();
  readonly replicas: Replica[];
  readonly consumers: Consumer[];
  readonly #began = performance.now();
  readonly #story: string[] = [];
  readonly #violations: string[] = [];

  static async begin(plan: Plan): Promise<World> {
    const api = await ChaosApi.start(plan);
    const postgres = await ChaosPostgres.start();
    return new World(plan, { api, postgres, network: await Network.start(postgres.port) });
  }

  private constructor(plan: Plan, { api, postgres, network }: Parts) {
    this.plan = plan;
    this.api = api;
    this.postgres = postgres;
    this.network = network;
    this.check = new CursorCheck(postgres, api);
    this.history = new CursorHistory(postgres, api);
    const ask = postgres.ask.bind(postgres);
    this.consumers = [
      new PollingConsumer(postgres.url, new SeededRandom(plan.seed + 2)).start(),
      new PollingConsumer(postgres.url, new SeededRandom(plan.seed + 3)).start(),
      new ListeningConsumer(postgres.url).start(),
      new TransactionalConsumer(postgres.url, ask).start(),
    ];
    this.replicas = Array.from({ length: plan.replicas }, (_, place) => this.#newReplica(`mirror ${place + 1}`));
    api.beginEmission(plan.emission);
  }

  anyReplica(random: SeededRandom): Replica {
    return pick(this.replicas, random);
  }

  /** One that mirrors, as far as can be told. */
  leader(random: SeededRandom): Replica {
    const leaders = this.replicas.filter(({ isStandingBy }) => !isStandingBy);
    return pick(leaders.length === 0 ? this.replicas : leaders, random);
  }

  /** Counts it, and keeps it for the story that is told when something is wrong. */
  tell(what: string): void {
    this.figures.count(what);
    this.#story.push(`${((performance.now() - this.#began) / 1000).toFixed(2)} s: ${what}`);
  }

  /** What has to hold after whatever happened. */
  async expectSound(): Promise<void> {
    await this.check.look();
    if (!this.plan.cursorMayMoveBack) this.figures.count("moves of the cursor", await this.history.look());
    this.figures.count("checks");
    for (const { name, failure } of this.consumers) {
      if (failure !== undefined) throw new Violation(`the consumer ${name} failed`, { cause: failure });
    }
    if (this.#violations.length > 0) throw new Violation(this.#violations.join("\n"));
  }

  /** Everything that was going on, for whoever has to understand it. */
  get story(): string {
    const { rules, ...plan } = this.plan;
    const tails = this.replicas.map(({ name, tail }) => `${name}:\n${tail}`);
    return [JSON.stringify({ ...plan, ...rules }), ...this.#story.slice(-40), ...tails].join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.api.endEmission();
    for (const replica of this.replicas) await replica.kill();
    for (const consumer of this.consumers) await consumer.stop();
    await this.network.close();
    await this.postgres.close();
    await this.api.close();
  }

  #newReplica(name: string): Replica {
    const { api, postgres, network, plan } = this;
    return new Replica(name, {
      env: {
        WORKOS_API_KEY: api.api.apiKey,
        WORKOS_BASE_URL: api.api.url,
        DATABASE_URL: postgres.urlThrough(network.port),
        SYNC_SINCE: new Date(api.startMs).toISOString(),
        PAGE_SIZE: String(plan.pageSize),
        POLL_INTERVAL: "100ms",
        RATE_LIMIT: "100000/1s",
        REQUEST_TIMEOUT: "1s",
      },
      secrets: [api.api.apiKey, postgres.password],
      onViolation: (what) => this.#violations.push(what),
    });
  }
}

function pick(replicas: readonly Replica[], random: SeededRandom): Replica {
  const replica = replicas[random.integer(replicas.length)];
  if (replica === undefined) throw new Error("a world without mirrors");
  return replica;
}
