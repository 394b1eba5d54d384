#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";
import type { Logger } from "pino";
import { parseCommandLine, type Verb } from "./cli.ts";
import { type Config, ConfigError, parseConfig } from "./config.ts";
import type { ConnectionParameters } from "./connection-parameters.ts";
import { filterKey } from "./event.ts";
import { instantOf } from "./instant.ts";
import { logTrouble } from "./journal.ts";
import { createLogger } from "./log.ts";
import { messageOf, Trouble } from "./trouble.ts";
import { runVerb } from "./verbs.ts";
import { EVENT_TYPES } from "./workos/catalogue.ts";

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
/** npm sends on the Ctrl-C that the terminal has sent already: that is no second wish. */
const SAME_SIGNAL_MS = 200;
/** After this, stopping no longer waits for a transaction: what is not committed will be read again. */
const STOP_WITHIN_MS = 4_000;

// Pages come and go: a heap that is let grow keeps several times what is in use (374 MB instead of 165 after 150,000
// events without a limit), and reads no faster for it. And what runs a few times a second is compiled late: to do so was
// a tenth of what an idle mirror costs.
const FLAGS = ["--semi-space-growth-factor=1", "--heap-growing-percent=20", "--invocation-count-for-maglev=2000"];
for (const flag of FLAGS) setFlagsFromString(flag);

// who reads the output may leave early: `… --help | head`
process.stdout.on("error", () => process.exit());
process.exitCode = await main();

async function main(): Promise<number> {
  const build = readBuild();
  const line = parseCommandLine(process.argv.slice(2), nameOf(build));
  if ("exit" in line) return line.exit;
  const config = readConfig(line.verb);
  if (config === undefined) return EXIT_USAGE;

  const { password = "" } = config.database;
  const secrets = new Set([password, encodeURIComponent(password)]);
  const to = hasResult(line.verb) ? "stderr" : "stdout";
  const log = await createLogger({
    level: config.logLevel,
    format: config.logFormat ?? (process[to].isTTY ? "pretty" : "json"),
    secrets,
    to,
    base: { environment: config.environment },
  });
  const signal = stopSignal(log, line.verb);
  tellStart(line.verb, config, build, log);
  const migrationsFolder = fileURLToPath(new URL("../migrations", import.meta.url));
  const print = (text: string) => void process.stdout.write(`${text}\n`);
  try {
    const good = await runVerb(line.verb, config, { ...build, migrationsFolder, secrets, signal, log, print });
    if (isLongRunning(line.verb)) log.info(signal.aborted ? "stopped" : "done");
    return good ? 0 : EXIT_FAILED;
  } catch (error) {
    if (isLongRunning(line.verb)) logTrouble(log, error);
    else process.stderr.write(`${sentenceOf(error)}\n`);
    return EXIT_FAILED;
  }
}

interface Build {
  version: string;
  /** The commit; only an image knows it. */
  revision?: string;
}

/** An image is told version and commit when it is built; elsewhere the package knows its version. */
function readBuild(): Build {
  const { MIRROR_VERSION: version, MIRROR_REVISION: revision } = process.env;
  return { version: version || versionOfPackage(), ...(revision ? { revision } : {}) };
}

function versionOfPackage(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  const named = typeof manifest === "object" && manifest !== null && "version" in manifest;
  return named ? String(manifest.version) : "unknown";
}

function nameOf({ version, revision }: Build): string {
  return revision === undefined ? version : `${version} (${revision})`;
}

function readConfig(verb: Verb): Config | undefined {
  try {
    return parseConfig({
      env: process.env,
      readFile: (path) => readFileSync(path, "utf8"),
      now: instantOf(Date.now()),
      needsKey: verb.name !== "status" && verb.name !== "migrate",
      knownEvents: EVENT_TYPES,
    });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return undefined;
  }
}

/** The first SIGTERM or SIGINT asks to stop, within seconds; the second ends the process at once. */
function stopSignal(log: Logger, verb: Verb): AbortSignal {
  const stop = new AbortController();
  let askedAt = 0;
  const onSignal = (name: NodeJS.Signals) => {
    if (stop.signal.aborted && performance.now() - askedAt < SAME_SIGNAL_MS) return;
    if (stop.signal.aborted) process.exit(name === "SIGINT" ? 130 : 143);
    askedAt = performance.now();
    log.info({ signal: name }, "stopping");
    stop.abort(new Error(name));
    setTimeout(() => {
      log.warn("stopped without waiting for the running transaction any longer; nothing is lost by that");
      process.exit(verb.name === "run" ? 0 : EXIT_FAILED);
    }, STOP_WITHIN_MS).unref();
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  return stop.signal;
}

function sentenceOf(error: unknown): string {
  const hint = error instanceof Trouble && error.hint !== undefined ? `\n  ${error.hint}` : "";
  return `error: ${messageOf(error)}${hint}`;
}

function isLongRunning(verb: Verb): boolean {
  return ["run", "sync", "backfill", "verify"].includes(verb.name);
}

/** Whether standard output belongs to what is printed, and to no line of the log. */
function hasResult(verb: Verb): boolean {
  return verb.name === "verify" && (verb.json || verb.list);
}

function tellStart(verb: Verb, config: Config, build: Build, log: Logger): void {
  for (const warning of config.warnings) {
    if (isLongRunning(verb)) log.warn({ code: "configuration" }, warning);
    else process.stderr.write(`warning: ${warning}\n`);
  }
  if (!isLongRunning(verb)) return;
  const { baseUrl, rateLimit } = config;
  const fields = {
    ...build,
    api: baseUrl,
    database: placeOf(config.database),
    filter: filterKey(config.filter),
    rateLimit: `${rateLimit.requests}/${rateLimit.perMs / 1000}s`,
    node: process.version,
  };
  log.info(fields, `started: ${verb.name}`);
}

/** Host and database, without user and password. */
function placeOf({ host, port, dbname }: ConnectionParameters): string {
  return host.startsWith("/") ? `${host}/${dbname}` : `${host}:${port}/${dbname}`;
}
