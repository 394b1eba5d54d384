import pg from "pg";
import { expect } from "vitest";
import { VARIABLES } from "../../src/variables.ts";
import { expectMirrored } from "../support/mirrored.ts";
import { type SimulatedApi, startSimulatedApi } from "../support/simulated-api.ts";
import { generateEvents } from "../support/simulated-events.ts";
import { until } from "../support/wait.ts";
import { ComposeProject, findCompose } from "./compose-project.ts";
import { test as containerTest } from "./container-test.ts";

const DAY_MS = 86_400_000;

const test = containerTest.extend<{ up: (env: Record<string, string>) => Promise<ComposeProject> }>({
  up: async ({ engine, skip }, use) => {
    const compose = await findCompose();
    if (compose === undefined) return skip("neither docker compose nor docker-compose is installed");
    await use((env) => ComposeProject.create(compose, `${engine.image}-compose`, env));
  },
});

const startApi = (count: number) =>
  startSimulatedApi({
    host: "0.0.0.0",
    events: generateEvents({ seed: 5, count, from: Date.now() - 20 * DAY_MS, to: Date.now() - 60_000 }),
  });

/** Where a container finds an API that listens on this host. */
const accountOf = ({ url, apiKey }: SimulatedApi) => ({
  WORKOS_API_KEY: apiKey,
  WORKOS_BASE_URL: Object.assign(new URL(url), { hostname: "host.docker.internal" }).href,
  WORKOS_ALLOW_HTTP: "true",
  POLL_INTERVAL: "200ms",
});

/** As psql on the host sees it. */
function connect(port: number, database: string): pg.Pool & AsyncDisposable {
  const pool = new pg.Pool({ connectionString: `postgres://workos:workos@127.0.0.1:${port}/${database}` });
  pool.on("error", () => undefined); // Postgres is restarted on purpose
  return Object.assign(pool, { [Symbol.asyncDispose]: () => pool.end() });
}

const stored = (pool: pg.Pool, atLeast: number) => {
  const look = async () => {
    const counted = await pool.query("select count(*) from workos.events").catch(() => undefined);
    return Number(counted?.rows[0]?.count) >= atLeast ? true : undefined;
  };
  return until(look, `${atLeast} events`, 60_000);
};

/** Another time after a restart would tell that all was lost, and mirrored anew. */
const mirroredSince = async (pool: pg.Pool) => (await pool.query("select min(mirrored_at) from workos.events")).rows;

test("up from a clean state mirrors, and goes on when Postgres is restarted or killed under it", async ({ up }) => {
  await using api = await startApi(500);
  await using project = await up(accountOf(api));
  await project.compose("up", "--detach");
  await using pool = connect(project.ports.postgres, "workos");
  await stored(pool, 500);

  const before = await project.inspect("mirror");
  expect(before.HostConfig).toMatchObject({
    ReadonlyRootfs: true,
    CapDrop: ["ALL"],
    SecurityOpt: ["no-new-privileges:true"],
    Memory: 384 * 1024 * 1024,
    RestartPolicy: { Name: "unless-stopped" },
    LogConfig: { Type: "json-file", Config: { "max-size": "10m", "max-file": "3" } },
  });

  const since = await mirroredSince(pool);
  api.emit(20);
  await project.compose("restart", "postgres");
  api.emit(20);
  await stored(pool, api.events.length);
  await project.compose("kill", "--signal", "SIGKILL", "postgres");
  api.emit(20);
  await project.says("mirror", "failing: Postgres");
  await project.compose("start", "postgres");
  await stored(pool, api.events.length);
  await expectMirrored(pool, api.events);
  expect(await mirroredSince(pool)).toEqual(since);

  const after = await project.inspect("mirror");
  expect([after.RestartCount, after.State.StartedAt]).toEqual([0, before.State.StartedAt]);
  await project.compose("stop", "mirror");
  expect((await project.inspect("mirror")).State).toMatchObject({ ExitCode: 0, OOMKilled: false });
});

test("hands on every variable of .env, and none that is not there", async ({ up }) => {
  const names = [...VARIABLES, "PGHOST", "PGUSER", "PGPASSWORD", "PGDATABASE", "PGSSLMODE", "NODE_USE_ENV_PROXY"];
  const env = Object.fromEntries(names.map((name) => [name, `value of ${name}`]));
  const environmentOf = async (project: ComposeProject): Promise<Record<string, string>> => {
    const program = "console.log(JSON.stringify(process.env))";
    return JSON.parse(
      await project.compose("run", "--rm", "--no-deps", "--entrypoint", "node", "mirror", "--eval", program),
    );
  };
  await using full = await up(env);
  expect(await environmentOf(full)).toMatchObject(env);
  await using empty = await up({});
  const left = Object.entries(await environmentOf(empty)).filter(
    ([name]) => /^(PG|DATABASE_)/.test(name) || names.includes(name),
  );
  expect(Object.fromEntries(left)).toEqual({
    PGHOST: "postgres",
    PGUSER: "workos",
    PGPASSWORD: "workos",
    PGDATABASE: "workos",
  });
});

test("the demo mirrors a simulated account without a key; the mirror beside it says in a line that it has none", async ({
  up,
}) => {
  await using project = await up({});
  await project.compose("--profile", "demo", "up", "--detach");
  await using pool = connect(project.ports.demoPostgres, "workos_demo");
  await stored(pool, 5_000);
  const lines = (await project.compose("logs", "--no-color", "mirror"))
    .split("\n")
    .filter((line) => line.includes("WORKOS"));
  expect(new Set(lines.map((line) => line.replace(/^.*?\| */, "")))).toEqual(
    new Set([
      "the configuration has a mistake: WORKOS_API_KEY (or WORKOS_API_KEY_FILE) is missing: an API key of the WorkOS dashboard, sk_…",
    ]),
  );
});

test("the demo alone is started by its name", async ({ up }) => {
  await using project = await up({});
  await project.compose("--profile", "demo", "up", "--detach", "demo");
  await using pool = connect(project.ports.demoPostgres, "workos_demo");
  await stored(pool, 5_000);
  expect(await project.running()).toEqual(["demo", "demo-postgres", "demo-workos"]);
});

test("takes key and database out of compose secrets, which docker inspect does not show", async ({ up }) => {
  await using api = await startApi(50);
  const { WORKOS_API_KEY: key, ...account } = accountOf(api);
  await using project = await up(account);
  const url = "postgres://workos:workos@postgres:5432/workos";
  await project.write("secrets/workos_api_key", `${key}\n`);
  await project.write("secrets/database_url", `${url}\n`);
  const files = ["--file", "docker-compose.yml", "--file", "deploy/compose/secrets.yml"];
  await project.compose(...files, "up", "--detach");
  await using pool = connect(project.ports.postgres, "workos");
  await stored(pool, 50);
  await expectMirrored(pool, api.events);
  const inspected = JSON.stringify(await project.inspect("mirror"));
  expect([key, url].filter((secret) => inspected.includes(secret))).toEqual([]);
});
