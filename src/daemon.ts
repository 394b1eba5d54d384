import type { Logger } from "pino";
import type { Config } from "./config.ts";
import { filterKey, type Store } from "./event.ts";
import { createMetrics } from "./http/metrics.ts";
import { startHttp } from "./http/server.ts";
import { instantOf } from "./instant.ts";
import { Journal } from "./journal.ts";
import { Mirror, type Step } from "./mirror.ts";
import { type Context, createParts } from "./parts.ts";
import { poll, type Rest } from "./poll.ts";
import { createLeader, lockName } from "./postgres/leader.ts";
import { applyMigrations } from "./postgres/migrate.ts";
import { Status } from "./status.ts";
import { messageOf, Trouble } from "./trouble.ts";

export interface DaemonContext extends Context {
  log: Logger;
}

/** A step, or a rest while another replica mirrors. */
type Turn = Rest & { step?: Step };

/** How often a standby asks for the lock at the least, however long POLL_INTERVAL is. */
const STANDBY_MS = 2_000;

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
  const leader = createLeader(parts.database, lockName(config.environment, filter));
  const mirror = new Mirror({
    environment: config.environment,
    filter: parts.filter,
    fetchPage: parts.fetchPage,
    store: timed(parts.store, metrics.commitDone),
    startAt: config.startAt,
  });
  const http = once ? undefined : await openHttp(config, status, metrics, log);
  journal.start();
  try {
    await poll<Turn>({
      step: async (stop) => {
        if (!status.migrated) await migrate(parts.pool, context);
        status.migrated = true;
        if (!once && !(await leader.hold())) {
          mirror.reset();
          return { atHead: true, restMs: Math.min(config.pollIntervalMs, STANDBY_MS) };
        }
        const step = await mirror.step(stop);
        return { atHead: step.atHead, step };
      },
      intervalMs: config.pollIntervalMs,
      once,
      signal,
      onStep: ({ step }) => (step === undefined ? journal.standingBy() : journal.step(step)),
      onFailure: (failure) => {
        // the tables may be gone, or of another version
        if (failure.trouble.code === "postgres_refused") status.migrated = false;
        journal.failure(failure);
      },
    });
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    journal.stop();
    status.enter("stopping", instantOf(Date.now()));
    mirror.reset();
    await parts.pool.end();
    await leader.release();
    await http?.close();
  }
}

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
  { migrationsFolder, log }: DaemonContext,
): Promise<void> {
  const applied = await applyMigrations(pool, migrationsFolder);
  if (applied > 0) log.info({ applied }, "migrations applied");
}

function timed(store: Store, commitDone: (seconds: number) => void): Pick<Store, "readPosition" | "savePage"> {
  return {
    readPosition: store.readPosition,
    savePage: async (...page) => {
      const started = performance.now();
      const saved = await store.savePage(...page);
      commitDone((performance.now() - started) / 1000);
      return saved;
    },
  };
}
