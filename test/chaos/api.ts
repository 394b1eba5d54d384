import { setTimeout as delay } from "node:timers/promises";
import { faults, type SimulatedApi, type SimulatedApiSettings, startSimulatedApi } from "../support/simulated-api.ts";
import { EventGenerator, type SimulatedEvent } from "../support/simulated-events.ts";
import { SeededRandom } from "../support/simulated-random.ts";
import { type Poison, poison } from "./poison.ts";
import { stablePort } from "./stable-port.ts";

export interface ApiPlan {
  seed: number;
  /** How many events there are before the mirror starts, and over how many days. */
  history: { count: number; days: number };
  rules: Partial<SimulatedApiSettings>;
}

const DAY = 86_400_000;
const TICK_MS = 50;

/** The simulated API on a port that it keeps, with events that happen whether it is up or not. */
export class ChaosApi {
  readonly api: SimulatedApi;
  /** Whatever is older is none of the mirror's business. */
  readonly startMs: number;
  readonly #random: SeededRandom;
  readonly #poisons = new Map<SimulatedEvent, Poison>();
  readonly #deceived = new Set<string>();
  #restarting: Promise<void> = Promise.resolve();
  #emission: NodeJS.Timeout | undefined;

  static async start({ seed, history, rules }: ApiPlan): Promise<ChaosApi> {
    const generator = new EventGenerator(seed);
    const to = (rules.now ?? Date.now)() - 60_000;
    const startMs = Math.floor(to - history.days * DAY);
    const events = generator.history({ count: history.count, from: startMs, to });
    const random = new SeededRandom(seed + 1);
    const key = `sk_test_chaos_${random.characters(24)}`;
    const poisons = [];
    for (let count = 0; count < 12; count += 1) {
      poisons.push(poison(Math.floor(startMs + random.fraction() * (to - startMs)), random));
    }
    const listed = [...events, ...poisons.map(({ event }) => event)];
    const port = await stablePort();
    const api = await startSimulatedApi({ ...rules, apiKey: key, port, events: listed, generator });
    return new ChaosApi(api, { startMs, random, poisons });
  }

  private constructor(
    api: SimulatedApi,
    { startMs, random, poisons }: { startMs: number; random: SeededRandom; poisons: readonly Poison[] },
  ) {
    this.api = api;
    this.startMs = startMs;
    this.#random = random;
    for (const one of poisons) this.#poisons.set(one.event, one);
  }

  /** Everything that was ever listed, in list order. */
  get listed(): readonly SimulatedEvent[] {
    return this.api.events;
  }

  /** Where it is in that order; -1 for what was never listed. */
  placeOf(id: string): number {
    return this.listed.findLastIndex((event) => event.id === id);
  }

  /** The rows that have to be in workos.events in the end. */
  get toBeStored(): SimulatedEvent[] {
    return this.listed.flatMap((event) => {
      const known = this.#poisons.get(event);
      if (known === undefined) return [event];
      return known.stored === undefined ? [] : [known.stored];
    });
  }

  /** The texts that have to be in quarantine in the end. */
  get toBeQuarantined(): string[] {
    return [...this.#poisons.values()].filter(({ quarantined }) => quarantined).map(({ event }) => event.text);
  }

  isQuarantinedOnly(event: SimulatedEvent): boolean {
    const known = this.#poisons.get(event);
    return known !== undefined && known.stored === undefined;
  }

  /** Up to so many events every 50 ms. */
  beginEmission(most: number): void {
    this.#emission = setInterval(() => this.api.emit(this.#random.integer(most + 1)), TICK_MS);
  }

  endEmission(): void {
    clearInterval(this.#emission);
  }

  /** Something that is hard to mirror, with an ordinary event behind it. */
  emitPoison(count: number): void {
    for (let emitted = 0; emitted < count; emitted += 1) {
      const last = this.listed.at(-1)?.timeMs ?? 0;
      const made = poison(Math.ceil(Math.max(this.api.options.now(), last)), this.#random);
      this.#poisons.set(made.event, made);
      this.api.emit([made.event]);
      this.api.emit(1);
    }
  }

  /** The next page is empty, though there is something: but never twice to the same question, or it would be true. */
  failEmpty(): void {
    this.api.fail(faults.emptyPage(), {
      when: ({ query }) => {
        const question = `${query.get("after") ?? query.get("range_start")} ${query.get("range_end")}`;
        if (this.#deceived.has(question)) return false;
        this.#deceived.add(question);
        return true;
      },
    });
  }

  /** Ends all connections, answers under way included, and comes back with what happened meanwhile; one at a time. */
  restart(downMs: number): Promise<void> {
    this.#restarting = this.#restarting.then(() => this.#restart(downMs));
    return this.#restarting;
  }

  async #restart(downMs: number): Promise<void> {
    await this.api.goDown();
    await delay(downMs);
    await this.api.comeBack();
  }

  async close(): Promise<void> {
    this.endEmission();
    await this.api.close();
  }
}
