import type pg from "pg";
import { Client, connecting, createConnector, type DatabaseOptions } from "./client.ts";
import { troubleOfPostgres } from "./errors.ts";

export interface Leader {
  /** True while this process is the one that mirrors. Asks for the lock when it does not have it. */
  hold: () => Promise<boolean>;
  /** Gives the lock up by closing its connection; another replica takes over with its next try. */
  release: () => Promise<void>;
}

const TIMEOUT_MS = 10_000;

/**
 * One of several replicas mirrors: the one whose session holds an advisory lock on `name`. It lives on a connection of
 * its own, so that Postgres gives it up when this process is gone. Should two believe to hold it all the same (a
 * pooler in transaction mode), the cursor's compare-and-set keeps the data right.
 */
export function createLeader(options: DatabaseOptions, name: string): Leader {
  const connector = createConnector(options, TIMEOUT_MS);
  connector.config.application_name += " lock";
  let client: pg.Client | undefined;
  let held = false;

  const drop = (dropped: pg.Client) => {
    if (client !== dropped) return;
    client = undefined;
    held = false;
  };

  const connect = async (): Promise<pg.Client> => {
    const fresh = new Client(connector);
    fresh.on("error", () => drop(fresh));
    fresh.on("end", () => drop(fresh));
    await fresh.connect();
    return fresh;
  };

  return {
    hold: async () => {
      if (held) return true;
      try {
        client ??= await connecting(connector, connect);
        const result = await client.query<{ held: boolean }>(
          "select pg_try_advisory_lock(hashtextextended($1, 5276001)) as held",
          [name],
        );
        held = result.rows[0]?.held ?? false;
        return held;
      } catch (error) {
        void client?.end().catch(() => undefined);
        client = undefined;
        throw troubleOfPostgres(error);
      }
    },
    release: async () => {
      const ending = client;
      client = undefined;
      held = false;
      await ending?.end().catch(() => undefined);
    },
  };
}

/** Two mirrors with the same cursor would only get in each other's way. */
export function lockName(environment: string, filter: string): string {
  return `workos-events-mirror ${environment} ${filter}`;
}
