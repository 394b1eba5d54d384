import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import type { SeededRandom } from "../support/simulated-random.ts";
import { isAway } from "./database.ts";

const AGAIN_MS = 50;
const NO_TABLE = "42P01";

/** A program of somebody else that reads workos.events by `seq`, and connects again whenever it is cut off. */
export abstract class Consumer {
  abstract readonly name: string;
  readonly #url: string;
  #client: pg.Client | undefined;
  #isStopped = false;
  #done: Promise<void> = Promise.resolve();
  /** What it can't get over. */
  failure: unknown;
  /** How often it had to connect, and what it is at. */
  connections = 0;
  doing = "nothing";

  constructor(url: string) {
    this.#url = url;
  }

  start(): this {
    this.#done = this.#run();
    return this;
  }

  /** Which events it saw, in the order in which it saw them. */
  abstract seen(): Promise<readonly string[]>;

  async stop(): Promise<void> {
    this.#isStopped = true;
    void this.#client?.end().catch(() => undefined); // which may wait for ever for what has ended already
    await this.#done;
  }

  /** Works on one connection for as long as that holds. */
  protected abstract work(client: pg.Client): Promise<void>;

  protected get isStopped(): boolean {
    return this.#isStopped;
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      const client = new pg.Client({ connectionString: this.#url, application_name: `consumer ${this.name}` });
      this.#client = client;
      client.on("error", () => undefined);
      try {
        this.doing = "connecting";
        await client.connect();
        this.connections += 1;
        this.doing = "working";
        await this.work(client);
      } catch (error) {
        const noTableYet = error instanceof pg.DatabaseError && error.code === NO_TABLE;
        if (!isAway(error) && !noTableYet) this.failure ??= error;
      }
      void client.end().catch(() => undefined);
      if (!this.#isStopped) await delay(AGAIN_MS);
    }
  }
}

interface Row {
  seq: string;
  id: string;
}

/** Remembers the last `seq` itself, and asks for what follows. */
abstract class Reader extends Consumer {
  readonly #seen: string[] = [];
  #last = "0";

  async seen(): Promise<readonly string[]> {
    return this.#seen;
  }

  /** Reads everything that there is now, so many rows with each query. */
  protected async drain(client: pg.Client, limitOf: () => number): Promise<void> {
    for (;;) {
      const limit = limitOf();
      const { rows } = await client.query<Row>(
        "select seq, id from workos.events where seq > $1 order by seq limit $2",
        [this.#last, limit],
      );
      this.#seen.push(...rows.map(({ id }) => id));
      this.#last = rows.at(-1)?.seq ?? this.#last;
      if (rows.length < limit) return;
    }
  }
}

/** Asks again and again. */
export class PollingConsumer extends Reader {
  readonly name = "that polls";
  readonly #random: SeededRandom;

  constructor(url: string, random: SeededRandom) {
    super(url);
    this.#random = random;
  }

  protected async work(client: pg.Client): Promise<void> {
    while (!this.isStopped) {
      await this.drain(client, () => 1 + this.#random.integer(300));
      await delay(this.#random.integer(60));
    }
  }
}

/** Asks only when it was told that there is something: LISTEN first, then read what was there before. */
export class ListeningConsumer extends Reader {
  readonly name = "that listens";

  protected async work(client: pg.Client): Promise<void> {
    let nudge = Promise.withResolvers<void>();
    client.on("notification", () => nudge.resolve());
    client.on("error", (error) => nudge.reject(error));
    client.on("end", () => nudge.reject(new Error("the connection has ended")));
    nudge.promise.catch(() => undefined);
    await client.query("listen workos_events");
    while (!this.isStopped) {
      await this.drain(client, () => 100);
      await nudge.promise;
      nudge = Promise.withResolvers<void>();
      nudge.promise.catch(() => undefined);
    }
  }
}

/** Does what the README tells: remembers the last `seq` in the same transaction as what it does with the rows. */
export class TransactionalConsumer extends Consumer {
  readonly name = "with a transaction";
  readonly #ask: <T>(question: (pool: pg.Pool) => Promise<T>) => Promise<T>;

  constructor(url: string, ask: <T>(question: (pool: pg.Pool) => Promise<T>) => Promise<T>) {
    super(url);
    this.#ask = ask;
  }

  async seen(): Promise<readonly string[]> {
    const { rows } = await this.#ask((pool) => pool.query<Row>("select id from consumer.done order by seq"));
    return rows.map(({ id }) => id);
  }

  protected async work(client: pg.Client): Promise<void> {
    await client.query(`
      create schema if not exists consumer;
      create table if not exists consumer.done (id text primary key, seq bigint);
      create table if not exists consumer.progress (last bigint);
      insert into consumer.progress select 0 where not exists (select from consumer.progress)`);
    while (!this.isStopped) {
      const { rowCount } = await client.query(`
        with read as (
          select seq, id
          from workos.events
          where seq > (select last from consumer.progress)
          order by seq
          limit 200
        ),
        moved as (
          update consumer.progress
          set last = (select max(seq) from read)
          where exists (select from read)
        )
        insert into consumer.done (id, seq)
        select id, seq from read`);
      if (rowCount === 0) await delay(AGAIN_MS);
    }
  }
}
