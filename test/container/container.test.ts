import { expect } from "vitest";
import { expectMirrored } from "../support/mirrored.ts";
import { startSimulatedApi } from "../support/simulated-api.ts";
import { generateEvents } from "../support/simulated-events.ts";
import { createTestDatabase, type TestDatabase } from "../support/test-database.ts";
import { until } from "../support/wait.ts";
import { test } from "./container-test.ts";
import { between, MirrorContainer } from "./mirror-container.ts";
import { REVISION, VERSION } from "./setup.ts";

const DAY_MS = 86_400_000;

/** An API on all of this host's addresses, so that containers reach it. */
const startApi = (count: number, latencyMs = 0) =>
  startSimulatedApi({
    host: "0.0.0.0",
    latencyMs,
    events: generateEvents({ seed: 3, count, from: Date.now() - 20 * DAY_MS, to: Date.now() - 60_000 }),
  });

const countOf = async ({ pool }: TestDatabase): Promise<number> =>
  Number((await pool.query("select count(*) from workos.events")).rows[0]?.count);

const stored = (database: TestDatabase, atLeast: number) =>
  until(async () => ((await countOf(database)) >= atLeast ? true : undefined), `${atLeast} events`, 60_000);

test("mirrors what the API has and what comes, and says which version it is", async ({ engine: _ }) => {
  await using database = await createTestDatabase();
  await using api = await startApi(500);
  await using mirror = await MirrorContainer.start(between(api, database));
  await mirror.says("caught up");
  api.emit(25);
  await stored(database, api.events.length);
  await expectMirrored(database.pool, api.events);

  const [started] = await mirror.log();
  expect(started).toMatchObject({ msg: "started: run", version: VERSION, revision: REVISION });
  const [code, body] = await mirror.ask("/status");
  expect([code, JSON.parse(body)]).toEqual([200, expect.objectContaining({ version: VERSION, revision: REVISION })]);
  expect(await mirror.ask("/readyz")).toEqual([200, "ok\n"]);
  expect(await mirror.stop()).toBe(0);
});

test("docker stop in the middle of a catch-up ends it with 0, and the next start goes on", async ({ engine: _ }) => {
  await using database = await createTestDatabase();
  await using api = await startApi(3_000, 200);
  await using mirror = await MirrorContainer.start(between(api, database));
  await mirror.says("migrations applied");
  await stored(database, 500);
  expect(await mirror.stop()).toBe(0);
  expect((await mirror.log()).at(-1)).toMatchObject({ msg: "stopped" });
  expect(await countOf(database)).toBeLessThan(3_000);

  api.options.latencyMs = 0;
  await mirror.docker.start();
  await mirror.says("caught up");
  await expectMirrored(database.pool, api.events);
});

test("docker kill in the middle of a catch-up, again and again, loses nothing", async ({ engine: _ }) => {
  await using database = await createTestDatabase();
  await using api = await startApi(6_000, 200);
  await using mirror = await MirrorContainer.start(between(api, database));
  await mirror.says("migrations applied");
  for (const count of [300, 800, 1_300]) {
    await stored(database, count);
    await mirror.kill();
    expect(await mirror.exitCode()).toBe(137);
    expect(await countOf(database)).toBeLessThan(6_000);
    api.emit(10);
    await mirror.docker.start();
  }
  await mirror.says("caught up");
  await expectMirrored(database.pool, api.events);
});

test("runs as an ordinary user on a read-only file system, without a shell", async ({ engine: _ }) => {
  await using database = await createTestDatabase();
  await using api = await startApi(100);
  await using mirror = await MirrorContainer.start(between(api, database), { hasShell: false, healthEvery: 1 });
  await mirror.says("caught up");
  await mirror.health("healthy");
  const { Config, HostConfig } = await mirror.inspect();
  expect(Config.User).toBe("1000:1000");
  expect(HostConfig).toMatchObject({ ReadonlyRootfs: true, CapDrop: ["ALL"], Privileged: false });
  expect(await mirror.processes()).toEqual(["1000 node /app/dist/main.js run"]);
  await expectMirrored(database.pool, api.events);
  expect(await mirror.stop()).toBe(0);
});

test("writes nothing where it could", async ({ engine: _ }) => {
  await using database = await createTestDatabase();
  await using api = await startApi(100);
  await using mirror = await MirrorContainer.start(between(api, database), { readOnly: false, healthEvery: 1 });
  await mirror.says("caught up");
  await mirror.health("healthy");
  const changes: unknown = await mirror.docker.changes();
  expect(Array.isArray(changes) ? changes : []).toEqual([]);
});

test("turns healthy, unhealthy while its process is stuck, and healthy again", async ({ engine: _ }) => {
  await using database = await createTestDatabase();
  await using api = await startApi(10);
  await using mirror = await MirrorContainer.start(between(api, database), { healthEvery: 1 });
  expect(await mirror.health("healthy")).toBe("ok\n");
  await mirror.kill("SIGSTOP");
  expect(await mirror.health("unhealthy")).toMatch(
    /^(no answer from 127\.0\.0\.1:8080 within 3 s\n|Health check exceeded timeout)/,
  );
  await mirror.kill("SIGCONT");
  expect(await mirror.health("healthy")).toBe("ok\n");
  expect(await mirror.processes()).toEqual(["1000 node /app/dist/main.js run"]); // no zombies of the checks
  expect(await mirror.stop()).toBe(0);
});

test("a wrong key: says what to do, stays up, alive and not ready", async ({ engine: _ }) => {
  await using database = await createTestDatabase();
  await using api = await startApi(10);
  const env = { ...between(api, database), WORKOS_API_KEY: "sk_test_of_another_account" };
  await using mirror = await MirrorContainer.start(env);
  const refused = await mirror.says("refused: GET /events answered 401");
  expect(refused).toMatchObject({ level: "error", whatToDo: expect.stringContaining("WORKOS_API_KEY") });
  expect(await mirror.ask("/readyz")).toEqual([503, expect.stringMatching(/^refused: GET \/events answered 401/)]);
  expect(await mirror.ask("/livez")).toEqual([200, "ok\n"]);
  expect((await mirror.inspect()).State).toMatchObject({ Running: true, OOMKilled: false });
  expect(await mirror.output()).not.toContain("sk_test_of_another_account");
  expect(await mirror.stop()).toBe(0);
});

test("without DATABASE_URL: exit 2 with a sentence", async ({ engine: _ }) => {
  const env = { WORKOS_API_KEY: "sk_test_simulated" };
  await using mirror = await MirrorContainer.start(env, { startsWith: /DATABASE_URL/ });
  expect(await mirror.exitCode()).toBe(2);
  expect(await mirror.output()).toMatch(/^the configuration has a mistake: DATABASE_URL .* is missing: .*\n$/);
});
