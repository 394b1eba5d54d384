import { Backfill } from "./backfill.ts";
import type { Range, Verb } from "./cli.ts";
import type { Config } from "./config.ts";
import { type Instant, instantOf, laterOf } from "./instant.ts";
import { fieldsOf, logNews } from "./journal.ts";
import type { News } from "./news.ts";
import { type Parts, type VerbContext, withParts } from "./parts.ts";
import { poll } from "./poll.ts";
import { createComparer } from "./postgres/compare.ts";
import { applyMigrations } from "./postgres/migrate.ts";
import { requirePrivileges, tellingGrants } from "./postgres/privileges.ts";
import { Trouble } from "./trouble.ts";
import { Verification } from "./verification.ts";
import { linesOf, newsOf, reportOf } from "./verification-report.ts";

export async function runBackfill(
  range: Extract<Verb, { name: "backfill" }>,
  config: Config,
  context: VerbContext,
): Promise<boolean> {
  const { log } = context;
  return withParts(config, context, async (parts) => {
    const migrate = () => applyMigrations(parts.pool, context.migrationsFolder);
    const { since, until } = await begin(migrate, range, parts, context);
    const backfill = new Backfill({ ...parts, environment: config.environment }, since, until);
    log.info({ since, until }, "backfill: walking the range again; no cursor is moved");
    const step = (stop: AbortSignal) => tellingGrants(parts.pool, () => backfill.step(stop));
    const finished = await walk(step, context).finally(() => backfill.stop());
    log.info(backfill.report, finished ? "backfill done" : "backfill stopped before the end of the range");
    return finished;
  });
}

/** True when the table holds all that the API gives, at least by now. */
export async function runVerify(
  { json, list, repair, ...range }: Extract<Verb, { name: "verify" }>,
  config: Config,
  context: VerbContext,
): Promise<boolean> {
  const { log, print } = context;
  const { environment } = config;
  return withParts(config, context, async (parts) => {
    const comparer = createComparer(parts.pool);
    const prepare = () => (repair ? requirePrivileges(parts.pool) : comparer.requireTable());
    const { since, until } = await begin(prepare, range, parts, context);
    const options = { since, until, repairs: repair, lists: list };
    const verification = new Verification({ ...parts, environment, comparer }, options);
    log.info({ since, until }, `verify: comparing the range with the table${repair ? "" : "; nothing is written"}`);
    const finished = await walk((stop) => verification.step(stop), context).finally(() => verification.stop());
    const report = reportOf(verification.findings, config, options, finished);
    for (const news of newsOf(report)) logNews(log, news);
    if (json) print(JSON.stringify(report));
    else for (const line of linesOf(report)) print(line);
    return finished && verification.findings.isComplete;
  });
}

/** Answers the range with an end: without one it ends at the present, even where this machine's clock is behind. */
async function begin(
  prepare: () => Promise<unknown>,
  { since, until }: Range,
  parts: Parts,
  context: VerbContext,
): Promise<Required<Range>> {
  let isPrepared = false;
  let apiTime: Instant | undefined;
  const step = async (signal: AbortSignal) => {
    if (!isPrepared) await prepare();
    isPrepared = true;
    if (until === undefined) apiTime = await askTime(parts, since, signal);
    return { rest: true, news: [] };
  };
  await walk(step, context);
  if (until !== undefined) return { since, until };
  const present = laterOf(apiTime ?? since, instantOf(Date.now()));
  if (apiTime === undefined || since < present) return { since, until: present };
  throw new Trouble(`--since ${since} lies in the future: to the API it is ${apiTime}`, {
    kind: "refused",
    code: "range_in_future",
  });
}

/** The API's clock. */
async function askTime({ fetchPage, filter }: Parts, since: Instant, signal: AbortSignal): Promise<Instant> {
  try {
    return (await fetchPage({ filter: filter.current, from: { rangeStart: since } }, signal)).apiTime;
  } catch (error) {
    // whatever the API has against the question, it will have against the first page as well
    if (error instanceof Trouble && error.kind === "refused" && error.apiTime !== undefined) return error.apiTime;
    throw error;
  }
}

/** Makes step after step until nothing is left to be done; false when it was stopped before. */
async function walk(
  step: (signal: AbortSignal) => Promise<{ rest: boolean; news: readonly News[] }>,
  { log, signal }: VerbContext,
): Promise<boolean> {
  await poll({
    step,
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
