import { Backfill } from "./backfill.ts";
import type { Verb } from "./cli.ts";
import type { Config } from "./config.ts";
import { fieldsOf, logNews } from "./journal.ts";
import type { News } from "./news.ts";
import { type VerbContext, withParts } from "./parts.ts";
import { poll } from "./poll.ts";
import { createComparer } from "./postgres/compare.ts";
import { applyMigrations } from "./postgres/migrate.ts";
import { requirePrivileges, tellingGrants } from "./postgres/privileges.ts";
import { Verification } from "./verification.ts";
import { linesOf, newsOf, reportOf } from "./verification-report.ts";

export async function runBackfill(
  { since, until }: Extract<Verb, { name: "backfill" }>,
  config: Config,
  context: VerbContext,
): Promise<boolean> {
  const { log } = context;
  return withParts(config, context, async (parts) => {
    const backfill = new Backfill({ ...parts, environment: config.environment }, since, until);
    log.info({ since, until }, "backfill: walking the range again; no cursor is moved");
    const migrate = () => applyMigrations(parts.pool, context.migrationsFolder);
    const finished = await walk(
      (stop) => tellingGrants(parts.pool, () => backfill.step(stop)),
      migrate,
      context,
    ).finally(() => backfill.stop());
    log.info(backfill.report, finished ? "backfill done" : "backfill stopped before the end of the range");
    return finished;
  });
}

/** True when the table holds all that the API gives, at least by now. */
export async function runVerify(
  { json, list, repair, since, until }: Extract<Verb, { name: "verify" }>,
  config: Config,
  context: VerbContext,
): Promise<boolean> {
  const { log, print } = context;
  const { environment } = config;
  return withParts(config, context, async (parts) => {
    const comparer = createComparer(parts.pool);
    const options = { since, until, repairs: repair, lists: list };
    const verification = new Verification({ ...parts, environment, comparer }, options);
    log.info({ since, until }, `verify: comparing the range with the table${repair ? "" : "; nothing is written"}`);
    const prepare = () => (repair ? requirePrivileges(parts.pool) : comparer.requireTable());
    const finished = await walk((stop) => verification.step(stop), prepare, context).finally(() => verification.stop());
    const report = reportOf(verification.findings, config, options, finished);
    for (const news of newsOf(report)) logNews(log, news);
    if (json) print(JSON.stringify(report));
    else for (const line of linesOf(report)) print(line);
    return finished && verification.findings.isComplete;
  });
}

/** Makes step after step until nothing is left to be done; false when it was stopped before. */
async function walk(
  step: (signal: AbortSignal) => Promise<{ rest: boolean; news: readonly News[] }>,
  prepare: () => Promise<unknown>,
  { log, signal }: VerbContext,
): Promise<boolean> {
  let isPrepared = false;
  await poll({
    step: async (stop) => {
      if (!isPrepared) await prepare();
      isPrepared = true;
      return step(stop);
    },
    intervalMs: 0,
    once: true,
    signal,
    onStep: ({ news }) => {
      for (const told of news) logNews(log, told);
    },
    onFailure: ({ trouble, failures }) => log.warn({ ...fieldsOf(trouble), failures }, `failing: ${trouble.message}`),
  }).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
  return !signal.aborted;
}
