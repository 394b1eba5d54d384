import { Command, CommanderError, InvalidArgumentError } from "commander";
import { DISAGREEMENT_MS } from "./api-clock.ts";
import { parseSince } from "./config.ts";
import { addMs, type Instant, instantOf } from "./instant.ts";

/** Of time: `since` inclusive, `until` exclusive; without it, up to the present. */
export interface Range {
  since: Instant;
  until?: Instant;
}

/** What the command line asks for. */
export type Verb =
  | { name: "run" | "sync" | "migrate" | "check" }
  | ({ name: "backfill" } & Range)
  | ({ name: "verify"; json: boolean; list: boolean; repair: boolean } & Range)
  | { name: "status"; json: boolean };

type VerifyOptions = Omit<Extract<Verb, { name: "verify" }>, "name">;

/** `exit` is set when the command line was answered already: help, version, or a mistake that was told. */
export type CommandLine = { verb: Verb } | { exit: number };

const EXIT_USAGE = 2;

const ENVIRONMENT = `
Environment (the README explains each):
  WORKOS_API_KEY | WORKOS_API_KEY_FILE   API key of the WorkOS dashboard, or a file that holds it
  DATABASE_URL | DATABASE_URL_FILE       postgres://user:password@host:5432/database
  PGHOST, PGUSER, PGPASSWORD, PGSSLMODE … as psql has them, for what DATABASE_URL leaves out
  WORKOS_EVENTS                          event types, separated by commas (all)
  WORKOS_ORGANIZATION_ID                 only this organization's events (all)
  WORKOS_ENVIRONMENT                     label of the rows (default)
  WORKOS_BASE_URL                        (https://api.workos.com)
  WORKOS_ALLOW_HTTP                      true lets WORKOS_BASE_URL be http beyond loopback
  SYNC_SINCE                             where a mirror without a cursor begins: ISO 8601 or a duration (90d)
  POLL_INTERVAL                          rest at the head (1s)
  RATE_LIMIT                             requests/duration (100/10s)
  PAGE_SIZE                              events per request, 1-100 (100)
  REQUEST_TIMEOUT                        for headers and body together (30s)
  CATCH_UP_CONCURRENCY                   slices of history read side by side, 1-50 (auto)
  SWEEP_INTERVAL, SWEEP_WINDOW           how often the recent past is read once more, and how far back (10m, 15m; off)
  HTTP_HOST, HTTP_PORT                   /livez /readyz /status /metrics (0.0.0.0, 8080; off)
  LOG_LEVEL, LOG_FORMAT                  (info) (json; pretty on a terminal)

Exit codes: 0 done, 1 failed, 2 bad usage or configuration.`;

const EXAMPLES = {
  backfill: `
The range may be ISO 8601 or a duration before now. The API keeps events for 90 days.
It never reads or moves a cursor; running it twice changes nothing.

Examples:
  workos-events-mirror backfill --since 7d
  workos-events-mirror backfill --since 2026-10-01 --until 2026-10-08T12:00:00Z`,
  verify: `
Asks the API for every event of the range and compares it with its row: type, time and content, to the last digit.
  missing    the API gives it, the table lacks it
  different  the row holds something else than the mirror would write
  extra      the API does not give it. No failure: the API forgets after 90 days. Not looked for with
             WORKOS_ORGANIZATION_ID. A row is never deleted.

Without --repair it writes nothing: a role that may select from workos.events will do, and so will a standby. It never
migrates. What happened in the last minute is looked at again for up to 10 seconds, since it may still be on its way.
Elements that are no events (see workos.quarantined_events) can't be compared.

With --list or --json, log lines go to standard error.
Exits with 0 when nothing is missing or different; with --repair, when all that was is right now. Else with 1.

Examples:
  workos-events-mirror verify --since 30d
  workos-events-mirror verify --since 2026-10-01 --until 2026-10-08 --list
  workos-events-mirror verify --since 90d --repair --json`,
  check: `
Looks at the database (reachable, migrated, privileges) and the API (key, filtering, pagination), a line each, with
what to do where something failed. Writes nothing. Exits with 1 when anything failed.`,
};

/** Reads the arguments, without node and the script before them. Prints help, version and mistakes itself. */
export function parseCommandLine(args: readonly string[], version: string): CommandLine {
  let verb: Verb | undefined;
  const now = instantOf(Date.now());
  const instant = (text: string) => instantArgument(text, now);
  const checked = ({ since, until }: Range) => {
    if (until !== undefined && since >= until) program.error("error: --since must lie before --until");
    // what is the future to this machine may be the past to the API
    if (since >= addMs(now, DISAGREEMENT_MS)) program.error("error: --since lies in the future");
  };
  const program = new Command("workos-events-mirror")
    .description("Mirrors the WorkOS Events API into Postgres: every event, exactly once, within about a second.")
    .version(version, "-V, --version", "print the version")
    .helpOption("-h, --help", "print help")
    .helpCommand("help [command]", "print help for a command")
    .showHelpAfterError("(--help tells more)")
    .addHelpText("after", ENVIRONMENT)
    .exitOverride();
  const on = (name: string, description: string) => program.command(name).description(description).exitOverride();

  program
    .command("run", { isDefault: true })
    .description("mirror until SIGTERM or SIGINT; applies migrations first (the default)")
    .action(() => {
      verb = { name: "run" };
    });
  on("sync", "catch up to the head once, then exit; applies migrations first").action(() => {
    verb = { name: "sync" };
  });
  on("backfill", "walk a range of time again and tell how many events were new or changed")
    .requiredOption("--since <time>", "beginning of the range, inclusive", instant)
    .option("--until <time>", "end of the range, exclusive (default: the API's present)", instant)
    .addHelpText("after", EXAMPLES.backfill)
    .action((range: Range) => {
      checked(range);
      verb = { name: "backfill", ...range };
    });
  on("verify", "compare a range of time with the table, event by event; writes nothing unless told to")
    .requiredOption("--since <time>", "beginning of the range, inclusive", instant)
    .option("--until <time>", "end of the range, exclusive (default: the API's present)", instant)
    .option("--list", "name what is wrong, a line for each event", false)
    .option("--json", "as JSON; with --list, it names them, too", false)
    .option("--repair", "write what is missing or different", false)
    .addHelpText("after", EXAMPLES.verify)
    .action((options: VerifyOptions) => {
      checked(options);
      verb = { name: "verify", ...options };
    });
  on("check", "verify key, filtering, pagination and database, with the fix for what fails")
    .addHelpText("after", EXAMPLES.check)
    .action(() => {
      verb = { name: "check" };
    });
  on("status", "tell what the tables say: positions, counts, gaps")
    .option("--json", "as JSON", false)
    .action(({ json }: { json: boolean }) => {
      verb = { name: "status", json };
    });
  on("migrate", "create or update the tables in the schema workos, then exit").action(() => {
    verb = { name: "migrate" };
  });

  try {
    const [first] = args;
    const isKnown = program.commands.some((command) => command.name() === first) || first === "help";
    if (first !== undefined && !first.startsWith("-") && !isKnown) program.error(`error: unknown command '${first}'`);
    program.parse(args, { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError) return { exit: error.exitCode === 0 ? 0 : EXIT_USAGE };
    throw error;
  }
  return verb === undefined ? { exit: EXIT_USAGE } : { verb };
}

function instantArgument(text: string, now: Instant): Instant {
  const instant = parseSince(text, now);
  if (instant === undefined) throw new InvalidArgumentError("It must be ISO 8601 or a duration such as 7d.");
  return instant;
}
