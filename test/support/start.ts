import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { constants } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { recallStory, StoryError } from "./demo-story.ts";
import { type EmbeddedPostgres, EmbeddedPostgresError, startEmbeddedPostgres } from "./embedded-postgres.ts";
import { type SimulatedApi, startSimulatedApi } from "./simulated-api.ts";

// `npm start` runs the program as it is built, with a PostgreSQL of this clone where none is named.
// `npm run demo` adds a simulated WorkOS to it. Neither is part of what is published.

type Environment = Record<string, string | undefined>;

const clone = fileURLToPath(new URL("../..", import.meta.url));
const dataDir = join(clone, ".data", "postgres");
const ownDatabase = ["DATABASE_URL", "DATABASE_URL_FILE", "PGHOST", "PGSERVICE"];
const verbs = ["run", "sync", "backfill", "verify", "check", "status", "migrate"];
const verbsWithoutKey = ["status", "migrate"];

class StartError extends Error {}

// ---- npm start --------------------------------------------------------------------------------------------------

async function start(): Promise<number> {
  loadEnvFile();
  const verb = args.find((argument) => !argument.startsWith("-")) ?? "run";
  const asksOnly = args.some((argument) => ["-h", "--help", "-V", "--version"].includes(argument));
  const ownsDatabase = ownDatabase.some((name) => process.env[name]?.trim());
  if (asksOnly || ownsDatabase || !verbs.includes(verb)) return await runProgram(args, process.env);
  const hasKey = process.env.WORKOS_API_KEY?.trim() || process.env.WORKOS_API_KEY_FILE?.trim();
  if (!hasKey && !verbsWithoutKey.includes(verb)) {
    // It ends by naming the missing key; that there is no database yet is not the caller's mistake.
    return await runProgram(args, { ...process.env, DATABASE_URL: "postgres://127.0.0.1:54329/workos" });
  }
  await using postgres = await startEmbeddedPostgres({
    dataDir,
    database: "workos",
    port: postgresPort(),
    join: verb !== "run",
    log: (line) => console.error(line),
  });
  console.error(`No DATABASE_URL is set, so this uses a PostgreSQL of its own, for trying out: ${postgres.url}`);
  console.error("Its data are in .data/postgres. To mirror into yours: DATABASE_URL=postgres://… npm start");
  return await runProgram(args, { ...process.env, DATABASE_URL: postgres.url }, postgres);
}

function loadEnvFile(): void {
  try {
    process.loadEnvFile(join(clone, ".env"));
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
  }
}

// ---- npm run demo -----------------------------------------------------------------------------------------------

async function demo(): Promise<number> {
  const httpPort = await chooseHttpPort();
  const log = (line: string) => console.log(line);
  await using postgres = await startEmbeddedPostgres({ dataDir, database: "workos_demo", port: postgresPort(), log });
  const { events, goOn } = recallStory();
  await using workos = await startSimulatedApi({ events, rateLimit: { requests: 100, perMs: 10_000 } });
  using _ = goOn(workos);
  if (stop.aborted) return 0;
  console.log(greeting(postgres, workos, httpPort));
  const kept = Object.entries(process.env).filter(([name]) => !/^(WORKOS_|DATABASE_URL|PG)/.test(name));
  const code = await runProgram(
    ["run"],
    {
      HTTP_HOST: "127.0.0.1",
      ...Object.fromEntries(kept),
      HTTP_PORT: String(httpPort),
      WORKOS_API_KEY: workos.apiKey,
      WORKOS_BASE_URL: workos.url,
      DATABASE_URL: postgres.url,
    },
    postgres,
  );
  if (stop.aborted) return 0;
  console.error(`The daemon has ended with exit code ${code}, so everything else was stopped.`);
  return 1;
}

function greeting(postgres: EmbeddedPostgres, api: SimulatedApi, httpPort: number | "off"): string {
  return `
A simulated WorkOS account, mirrored into a real PostgreSQL by the real daemon.

  PostgreSQL   ${postgres.url}
  psql         ${postgres.psql}
  daemon       ${httpPort === "off" ? "HTTP is off" : `http://127.0.0.1:${httpPort}/status, /livez, /readyz, /metrics`}
  WorkOS       ${api.url}/events, ${api.events.length} events so far, API key ${api.apiKey}

  select event, count(*) from workos.events group by event order by count(*) desc limit 10;
  select seq, created_at, event, organization_id, object_id from workos.events order by seq desc limit 10;
  select created_at, event, data ->> 'email' as email from workos.events where event like 'user.%' order by created_at desc limit 10;

Ctrl-C stops everything; the next npm run demo goes on from here. What follows is the daemon's log.
`;
}

async function chooseHttpPort(): Promise<number | "off"> {
  const wanted = process.env.HTTP_PORT?.trim();
  if (wanted === "off") return wanted;
  const first = wanted ? Number(wanted) : 8080;
  const host = process.env.HTTP_HOST?.trim() || "127.0.0.1";
  const last = wanted ? first : first + 50;
  for (let port = first; port <= last; port += 1) if (await isFree(port, host)) return port;
  throw new StartError(
    `Port ${wanted ?? first} on ${host} cannot be used for the daemon's HTTP. Set HTTP_PORT to a free one, or to off.`,
  );
}

async function isFree(port: number, host: string): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port, host);
    await once(server, "listening");
    return true;
  } catch {
    return false;
  } finally {
    server.close();
  }
}

// ---- The program itself -----------------------------------------------------------------------------------------

/** When this process is gone, however it went, the program stops as if it had been asked to. */
const lifeline = `data:text/javascript,${encodeURIComponent(
  `process.once("disconnect", () => process.kill(process.pid, "SIGTERM")); process.channel?.unref();`,
)}`;

/**
 * Its own session: npm sends on the Ctrl-C that the terminal sends to all, and the program takes the second signal for
 * an order to leave at once. So the terminal reaches only this process, which asks once.
 */
async function runProgram(args: string[], env: Environment, postgres?: EmbeddedPostgres): Promise<number> {
  const program = spawn(process.execPath, ["--import", lifeline, join(clone, "dist", "main.js"), ...args], {
    env,
    detached: true,
    stdio: ["inherit", "inherit", "inherit", "ipc"],
  });
  const exited = once(program, "exit");
  const askToStop = () => {
    program.kill("SIGTERM");
    setTimeout(() => program.kill("SIGKILL"), 10_000).unref();
  };
  if (stop.aborted) askToStop();
  stop.addEventListener("abort", askToStop);
  let withoutPostgres: string | undefined;
  postgres?.exited.then((how) => {
    withoutPostgres = how;
    askToStop();
  });
  const [code, signal] = await exited;
  if (withoutPostgres !== undefined) {
    throw new StartError(`PostgreSQL has ended with ${withoutPostgres}, so everything else was stopped.`);
  }
  return code ?? 128 + constants.signals[signal as NodeJS.Signals];
}

function postgresPort(): number {
  const wanted = process.env.DEMO_POSTGRES_PORT?.trim() || "54329";
  if (/^\d+$/.test(wanted) && Number(wanted) < 65_536) return Number(wanted);
  throw new StartError(`DEMO_POSTGRES_PORT must be a port number, or 0 for any free one, not ${wanted}.`);
}

/** The first signal asks everything to stop. A later one is an order; npm's echo of the first comes at once. */
function stopOnSignal(): AbortSignal {
  const asked = new AbortController();
  let askedAt = 0;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      // What is left then stops by itself: this process was its lifeline.
      if (asked.signal.aborted && Date.now() - askedAt > 500) process.exit(128 + constants.signals[signal]);
      if (!asked.signal.aborted) askedAt = Date.now();
      asked.abort();
    });
  }
  return asked.signal;
}

const stop = stopOnSignal();
const args = process.argv.slice(2);
try {
  process.exitCode = args[0] === "--demo" ? await demo() : await start();
} catch (error) {
  if (!(error instanceof EmbeddedPostgresError || error instanceof StartError || error instanceof StoryError))
    throw error;
  console.error(error.message);
  process.exitCode = 1;
}
