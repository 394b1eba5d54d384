import { Trouble } from "../trouble.ts";
import { type Connector, createConnector, type DatabaseOptions } from "./client.ts";
import { troubleOfPostgres } from "./errors.ts";
import { LockConnection } from "./lock.ts";

export interface LeaderEvents {
  /** The lock is lost, and somebody else may have it already: what is being written has to be broken off. */
  onLost?: () => void;
  /** A connection pooler stands between. Told once. */
  onPooler?: () => void;
}

/** Together shorter than the lease: who can't confirm it stops before somebody else may begin. */
const CONFIRM_EVERY_MS = 3_000;
const ANSWER_TIMEOUT_MS = 8_000;

/**
 * One of several replicas mirrors: the one that holds an advisory lock on `name`, on a connection of its own. It loses
 * the lock when that connection ends, and when nothing was heard on it for the time of a lease: so a replica that is
 * gone, frozen or cut off is replaced, and knows by its own clock that it is. Should two write all the same, the
 * cursor's compare-and-set keeps the data right.
 */
export class Leader {
  readonly #connector: Connector;
  readonly #name: string;
  readonly #events: LeaderEvents;
  #lock: LockConnection | undefined;
  #confirming: NodeJS.Timeout | undefined;
  /** Counts what was given up, so that a connection that is still being made then is not kept. */
  #releases = 0;
  #toldOfPooler = false;

  constructor(options: DatabaseOptions, name: string, events: LeaderEvents = {}) {
    this.#connector = createConnector(options, ANSWER_TIMEOUT_MS);
    this.#connector.config.application_name += " lock";
    this.#name = name;
    this.#events = events;
  }

  /** True while this process is the one that mirrors. Asks for the lock when it does not have it. */
  async hold(): Promise<boolean> {
    if (this.#lock?.isHeld) return true;
    if (this.#confirming !== undefined) this.#lose(this.#lock);
    try {
      this.#lock ??= await this.#open();
      const held = (await this.#lock?.tryLock()) ?? false;
      if (held) this.#keepConfirming();
      return held;
    } catch (error) {
      this.#lose(this.#lock);
      throw troubleOfPostgres(error);
    }
  }

  /** Does not begin `work` without the lock, and tells when it failed because the lock was lost meanwhile. */
  async asLeader<T>(work: () => Promise<T>): Promise<T> {
    this.#requireLock();
    try {
      return await work();
    } catch (error) {
      this.#requireLock();
      throw error;
    }
  }

  /** Gives the lock up by closing its connection; another replica takes over with its next try. */
  async release(): Promise<void> {
    const lock = this.#lock;
    this.#releases += 1;
    this.#forget();
    await lock?.close().catch(() => undefined);
  }

  /** Undefined when the lock was given up meanwhile. */
  async #open(): Promise<LockConnection | undefined> {
    const releases = this.#releases;
    const opened: LockConnection = await LockConnection.open(this.#connector, this.#name, () => this.#lose(opened));
    if (releases !== this.#releases) {
      await opened.close();
      return undefined;
    }
    if (opened.isPooled && !this.#toldOfPooler) this.#events.onPooler?.();
    this.#toldOfPooler ||= opened.isPooled;
    return opened;
  }

  #keepConfirming(): void {
    const lock = this.#lock;
    let isAnswered = true;
    this.#confirming = setInterval(() => {
      if (!isAnswered) return;
      isAnswered = false;
      lock
        ?.confirm()
        .then(() => {
          isAnswered = true;
        })
        .catch(() => this.#lose(lock));
    }, CONFIRM_EVERY_MS).unref();
  }

  #lose(lost: LockConnection | undefined): void {
    if (lost === undefined || lost !== this.#lock) return;
    const wasLeader = this.#confirming !== undefined;
    this.#forget();
    void lost.close().catch(() => undefined);
    if (wasLeader) this.#events.onLost?.();
  }

  #forget(): void {
    clearInterval(this.#confirming);
    this.#confirming = undefined;
    this.#lock = undefined;
  }

  #requireLock(): void {
    if (this.#lock?.isHeld) return;
    throw new Trouble("Postgres: the connection that holds the lock is lost, and nothing is written without it", {
      kind: "passing",
      code: "postgres_failing",
      hint: "retried by itself; another replica may have taken over",
    });
  }
}

/** Two mirrors with the same cursor would only get in each other's way. */
export function lockName(environment: string, filter: string): string {
  return `workos-events-mirror ${environment} ${filter}`;
}
