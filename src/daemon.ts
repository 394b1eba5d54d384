import type { Logger } from "pino";
import type { Config } from "./config.ts";
import { filterKey, type Store } from "./event.ts";
import { createMetrics } from "./http/metrics.ts";
import { startHttp } from "./http/server.ts";
import { instantOf } from "./instant.ts";
import { Journal, logNews } from "./journal.ts";
import { giveBackMemory } from "./memory.ts";
import { Mirror } from "./mirror.ts";
import type { News } from "./news.ts";
import { type Context, createParts } from "./parts.ts";
import { poll, type Rest } from "./poll.ts";
import { Leader, lockName } from "./postgres/leader.ts";
import { applyMigrations } from "./postgres/migrate.ts";
import { tellingGrants } from "./postgres/privileges.ts";
import { Status } from "./status.ts";
import type { Step } from "./step.ts";
import { messageOf, Trouble } from "./trouble.ts";

export interface DaemonContext extends Context {
  log: Logger;
}

/** A step, or a rest while another replica mirrors. */
type Turn = Rest & { step?: Step };

/** How often a standby asks for the lock at the least, however long POLL_INTERVAL is. */
const STANDBY_MS = 500;
/** How often a migration that takes long is taken for a sign of life. */
const MIGRATING_MS = 10_000;

/**
 * Mirrors until the signal says stop, or, with `once`, until the head is reached. Opens its parts in order and closes
 * them in reverse. Rejects with a Trouble when going on is no use.
 */
export async function runDaemon(config: Config, context: DaemonContext, once: boolean): Promise<void> {
  const { log, signal, version, revision } = context;
  const filter = filterKey(config.filter);
  const build = { version, ...(revision === undefined ? {} : { revision }) };
  const status = new Status({ ...build, environment: config.environment, filter }, instantOf(Date.now()));
  const metrics = createMetrics(status);
  const journal = new Journal(log, status, config.pollIntervalMs);
  const parts = createParts(config, context, { onRequest: metrics.requestDone });
  const leader = new Leader(parts.database, lockName(config.environment, filter), {
    onLost: () => parts.pool.cut(),
    onPooler: () => logNews(log, NEWS_OF_POOLER),
  });
  const store = timed(parts.store, metrics.commitDone);
  const mirror = new Mirror({
    environment: config.environment,
    filter: parts.filter,
    fetchPage: parts.fetchPage,
    store: once ? store : guarded(store, leader),
    startAt: config.startAt,
    // the head is looked at beside history, unless the head is all that is wanted in the end
    reading: once ? parts.reading : { ...parts.reading, pollIntervalMs: config.pollIntervalMs },
    sweep: once ? undefined : config.sweep,
  });
  const http = once ? undefined : await openHttp(config, status, metrics, log);
  journal.start();
  // first of all, so that another replica need not wait for what is still to be ended here
  signal.addEventListener("abort", () => void leader.release(), { once: true });
  try {
    await poll<Turn>({
      step: async (stop) => {
        if (!status.migrated) await migrate(parts.pool, status, context);
        status.migrated = true;
        if (!once && !(await leader.hold())) {
          mirror.reset();
          return { rest: true, restMs: Math.min(config.pollIntervalMs, STANDBY_MS) };
        }
        const step = await tellingGrants(parts.pool, () => mirror.step(stop));
        return { rest: step.rest, step };
      },
      intervalMs: config.pollIntervalMs,
      once,
      signal,
      onStep: ({ step }) => {
        const before = status.state;
        if (step === undefined) journal.standingBy();
        else journal.step(step);
        if (once || before === "caught_up" || status.state !== "caught_up") return;
        giveBackMemory().catch((error) => log.debug(`memory can't be given back: ${messageOf(error)}`));
      },
      onFailure: (failure) => {
        // the tables may be gone, or of another version
        if (failure.trouble.code === "postgres_refused") status.migrated = false;
        status.position ??= mirror.position;
        journal.failure(failure);
      },
    });
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    journal.stop();
    status.enter("stopping", instantOf(Date.now()));
    mirror.reset();
    await leader.release();
    await parts.pool.end();
    await http?.close();
  }
}

const NEWS_OF_POOLER: News = {
  level: "warn",
  code: "pooler",
  message:
    "a connection pooler stands before Postgres: the lock of the one that mirrors is held by an open transaction",
  fields: {
    whatToDo:
      "nothing is lost by that; but give the mirror a way to Postgres past PgBouncer (or one in session mode) if you can: " +
      "the transaction takes one of the pooler's connections for itself",
  },
};

async function openHttp(
  config: Config,
  status: Status,
  metrics: ReturnType<typeof createMetrics>,
  log: Logger,
): Promise<{ close: () => Promise<void> } | undefined> {
  if (config.http === undefined) return undefined;
  const stuckAfterMs = config.requestTimeoutMs + config.rateLimit.perMs + 60_000;
  try {
    const http = await startHttp({ ...config.http, status, metrics, stuckAfterMs });
    log.info({ host: config.http.host, port: http.port }, "serving /livez, /readyz, /status and /metrics");
    return http;
  } catch (error) {
    throw new Trouble(`HTTP can't listen on ${config.http.host}:${config.http.port}: ${messageOf(error)}`, {
      kind: "fatal",
      code: "http_failed",
      hint: "set HTTP_PORT to a free port, or to off",
      cause: error,
    });
  }
}

async function migrate(
  pool: Parameters<typeof applyMigrations>[0],
  status: Status,
  { migrationsFolder, log }: DaemonContext,
): Promise<void> {
  // a large table may take hours, and whoever watches /livez must not end that
  const turning = setInterval(() => status.turned(instantOf(Date.now()), 0), MIGRATING_MS);
  const applied = await applyMigrations(pool, migrationsFolder).finally(() => clearInterval(turning));
  if (applied > 0) log.info({ applied }, "migrations applied");
}

function timed(store: Store, commitDone: (seconds: number) => void): Store {
  return {
    ...store,
    savePages: async (...pages) => {
      const started = performance.now();
      const saved = await store.savePages(...pages);
      commitDone((performance.now() - started) / 1000);
      return saved;
    },
  };
}

/** Writes only while this is the replica that mirrors. */
function guarded(store: Store, leader: Leader): Store {
  return {
    ...store,
    savePages: (...pages) => leader.asLeader(() => store.savePages(...pages)),
    splitCursor: (...cut) => leader.asLeader(() => store.splitCursor(...cut)),
    forgetHistory: (...key) => leader.asLeader(() => store.forgetHistory(...key)),
    saveEvents: (...page) => leader.asLeader(() => store.saveEvents(...page)),
  };
}
