import type pg from "pg";
import { check } from "./check.ts";
import type { Verb } from "./cli.ts";
import type { Config } from "./config.ts";
import { runDaemon } from "./daemon.ts";
import { instantOf } from "./instant.ts";
import { createParts, type VerbContext, withParts } from "./parts.ts";
import { applyMigrations, readMigrationState } from "./postgres/migrate.ts";
import { requirePrivileges } from "./postgres/privileges.ts";
import { readReport, readServerVersion } from "./postgres/report.ts";
import { runBackfill, runVerify } from "./range-verbs.ts";
import { linesOf, statusOf } from "./status-report.ts";
import { Trouble } from "./trouble.ts";

/** Runs one verb to its end. True when all is well; rejects with a Trouble that ended it. */
export async function runVerb(verb: Verb, config: Config, context: VerbContext): Promise<boolean> {
  switch (verb.name) {
    case "run":
      await runDaemon(config, context, false);
      return true;
    case "sync":
      await runDaemon(config, context, true);
      return !context.signal.aborted;
    case "backfill":
      return runBackfill(verb, config, context);
    case "verify":
      return runVerify(verb, config, context);
    case "migrate":
      return withParts(config, context, ({ pool }) => runMigrate(pool, context));
    case "status":
      return withParts(config, context, ({ pool }) => runStatus(verb.json, pool, context));
    case "check":
      return runCheck(config, context);
  }
}

async function runMigrate(pool: pg.Pool, { migrationsFolder, log }: VerbContext): Promise<boolean> {
  const applied = await applyMigrations(pool, migrationsFolder);
  log.info({ applied }, applied === 0 ? "nothing to do: all migrations were applied before" : "migrations applied");
  return true;
}

async function runCheck(config: Config, context: VerbContext): Promise<boolean> {
  const parts = createParts({ ...config, pageSize: 2 }, context);
  const { pool } = parts;
  const database = [
    { name: "database", look: async () => `PostgreSQL ${await readServerVersion(pool)}` },
    { name: "migrations", look: () => lookAtMigrations(pool, context.migrationsFolder) },
    { name: "privileges", look: () => requirePrivileges(pool).then(() => "enough to mirror") },
  ];
  let good = true;
  try {
    for await (const { name, ok, detail, fix } of check({ ...parts, database, signal: context.signal })) {
      good &&= ok;
      context.print(`${ok ? "ok    " : "failed"}  ${name.padEnd(10)}  ${detail}`);
      if (fix !== undefined) context.print(`        ${"fix:".padEnd(10)}  ${fix}`);
    }
  } finally {
    await pool.end();
  }
  return good;
}

async function lookAtMigrations(pool: pg.Pool, folder: string): Promise<string> {
  const { pending, newer } = await readMigrationState(pool, folder);
  if (pending > 0) {
    throw new Trouble(`${pending} to be applied`, {
      kind: "refused",
      code: "migrations_pending",
      hint: "run `workos-events-mirror migrate`; run and sync do it by themselves",
    });
  }
  return newer ? "applied, by a newer version than this one" : "applied";
}

async function runStatus(json: boolean, pool: pg.Pool, { print }: VerbContext): Promise<boolean> {
  const status = statusOf(await readReport(pool), instantOf(Date.now()));
  if (json) print(JSON.stringify(status, null, 2));
  else for (const line of linesOf(status)) print(line);
  return true;
}
