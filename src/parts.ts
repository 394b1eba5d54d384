import { readFile } from "node:fs/promises";
import type { Logger } from "pino";
import type { Config } from "./config.ts";
import type { FetchPage, Store } from "./event.ts";
import { EffectiveFilter } from "./filter.ts";
import type { DatabaseOptions } from "./postgres/client.ts";
import { createPool, type Pool } from "./postgres/connect.ts";
import { createPasswordReader } from "./postgres/password.ts";
import { createStore } from "./postgres/store.ts";
import type { ReadingOptions } from "./reading.ts";
import { checkKey, type Secret } from "./secrets.ts";
import { messageOf, Trouble } from "./trouble.ts";
import { EVENT_TYPES } from "./workos/catalogue.ts";
import { type ClientOptions, createClient } from "./workos/client.ts";

export interface Context {
  version: string;
  /** The commit that it was built of, where that is known. */
  revision?: string;
  /** Where drizzle-kit's migrations lie. */
  migrationsFolder: string;
  /** Whatever is read that must not be seen is added here. */
  secrets: Set<string>;
  signal: AbortSignal;
}

export interface VerbContext extends Context {
  log: Logger;
  /** Writes a line to standard output. */
  print: (line: string) => void;
}

/** What every verb is made of. Nothing is connected before it is used. */
export interface Parts {
  database: DatabaseOptions;
  pool: Pool;
  store: Store;
  fetchPage: FetchPage;
  filter: EffectiveFilter;
  reading: Omit<ReadingOptions, "signal">;
}

export function createParts(
  config: Config,
  { version, secrets }: Context,
  options: Pick<ClientOptions, "onRequest"> = {},
): Parts {
  const applicationName = `workos-events-mirror ${version}`;
  const { database: parameters, databaseUrlFile: urlFile } = config;
  const database = {
    parameters,
    applicationName,
    readPassword: createPasswordReader({ parameters, urlFile, secrets }),
  };
  const pool = createPool(database);
  return {
    database,
    pool,
    store: createStore(pool),
    fetchPage: createClient({
      baseUrl: config.baseUrl,
      readKey: keyReader(config.apiKey, secrets),
      pageSize: config.pageSize,
      timeoutMs: config.requestTimeoutMs,
      rateLimit: config.rateLimit,
      userAgent: `workos-events-mirror/${version}`,
      ...options,
    }),
    filter: new EffectiveFilter(config.filter, EVENT_TYPES),
    reading: { concurrency: config.catchUpConcurrency, rateLimit: config.rateLimit, pageSize: config.pageSize },
  };
}

/** Closes them in the end, whatever came of the work. */
export async function withParts<T>(config: Config, context: Context, work: (parts: Parts) => Promise<T>): Promise<T> {
  const parts = createParts(config, context);
  try {
    return await work(parts);
  } finally {
    await parts.pool.end();
  }
}

/** Reads a key in a file anew each time: a rotated key heals a refusal without a restart. */
function keyReader(secret: Secret | undefined, secrets: Set<string>): () => Promise<string> {
  return async () => {
    const key = secret === undefined ? "" : "value" in secret ? secret.value : await readKeyFile(secret.file);
    secrets.add(key);
    return key;
  };
}

async function readKeyFile(file: string): Promise<string> {
  const content = await readFile(file, "utf8").catch((error: unknown) => {
    throw keyTrouble(`WORKOS_API_KEY_FILE can't be read: ${messageOf(error)}`);
  });
  if (content.trim() === "") throw keyTrouble("WORKOS_API_KEY_FILE is empty", "passing"); // just being replaced, maybe
  const problem = checkKey(content.trim());
  if (problem !== undefined) throw keyTrouble(`WORKOS_API_KEY_FILE ${problem}`);
  return content.trim();
}

function keyTrouble(message: string, kind: "passing" | "refused" = "refused"): Trouble {
  return new Trouble(message, { kind, code: "key_unreadable", hint: "put the API key into that file" });
}
