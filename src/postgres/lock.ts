import { Client, type Connector, connecting } from "./client.ts";
import { prepareSession, set } from "./session.ts";

/** When it has heard nothing for so long, the server ends the session, and the lock is free. */
const LEASE_MS = 15_000;
const LEASE = `${LEASE_MS}ms`;

/**
 * A connection that may hold an advisory lock. Where the server's session is its own, the session holds it. Behind a
 * pooler the lock would be left with whichever session happened to take it; there a transaction holds it that stays
 * open, which a pooler leaves in peace. It has written nothing and keeps no snapshot, so it holds up nothing else.
 */
export class LockConnection {
  readonly isPooled: boolean;
  readonly #client: Client;
  readonly #name: string;
  #process: number | undefined;
  #heldUntil = 0;

  /** `onEnd` is called when the connection is gone, whatever ended it. */
  static async open(connector: Connector, name: string, onEnd: () => void): Promise<LockConnection> {
    const client = await connecting(connector, async () => {
      const fresh = new Client(connector);
      fresh.on("error", () => undefined); // or it would end this process
      await fresh.connect();
      return fresh;
    });
    try {
      const isOurs = await prepareSession(client);
      if (isOurs) await set(client, { idle_session_timeout: LEASE }, "session");
      client.on("error", onEnd).on("end", onEnd);
      return new LockConnection(client, name, !isOurs);
    } catch (error) {
      void client.end();
      throw error;
    }
  }

  private constructor(client: Client, name: string, isPooled: boolean) {
    this.#client = client;
    this.#name = name;
    this.isPooled = isPooled;
  }

  /** Nobody else can have the lock: it was confirmed so lately that the server has not given it away yet. */
  get isHeld(): boolean {
    return performance.now() < this.#heldUntil;
  }

  async tryLock(): Promise<boolean> {
    const askedAt = performance.now();
    const held = await (this.isPooled ? this.#tryInTransaction() : this.#ask("pg_try_advisory_lock"));
    this.#heldUntil = held ? askedAt + LEASE_MS : 0;
    return held;
  }

  /** Throws when the server does not answer any more, or another session than the one that has the lock. */
  async confirm(): Promise<void> {
    const askedAt = performance.now();
    const { rows } = await this.#client.query<{ process: number }>("select pg_backend_pid() as process");
    if (rows[0]?.process !== this.#process) throw new Error("another session answers than the one that has the lock");
    this.#heldUntil = askedAt + LEASE_MS;
  }

  async close(): Promise<void> {
    this.#heldUntil = 0;
    await this.#client.end();
  }

  async #tryInTransaction(): Promise<boolean> {
    await this.#client.query("begin isolation level read committed");
    await set(this.#client, { idle_in_transaction_session_timeout: LEASE }, "transaction");
    const held = await this.#ask("pg_try_advisory_xact_lock");
    if (!held) await this.#client.query("rollback");
    return held;
  }

  async #ask(lock: "pg_try_advisory_lock" | "pg_try_advisory_xact_lock"): Promise<boolean> {
    const { rows } = await this.#client.query<{ held: boolean; process: number }>(
      `select ${lock}(hashtextextended($1, 5276001)) as held, pg_backend_pid() as process`,
      [this.#name],
    );
    this.#process = rows[0]?.process;
    return rows[0]?.held ?? false;
  }
}
