import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { expect, test } from "vitest";
import type { Step } from "../src/step.ts";
import { Trouble } from "../src/trouble.ts";
import { freePort } from "./support/free-port.ts";
import { DAY, MirrorBench } from "./support/mirror-bench.ts";
import { MirrorProcess } from "./support/mirror-process.ts";
import { expectMirrored } from "./support/mirrored.ts";
import { type Fault, faults, type SimulatedApi, startSimulatedApi } from "./support/simulated-api.ts";
import { generateEvents } from "./support/simulated-events.ts";
import { createTestDatabase } from "./support/test-database.ts";
import { type CertificateKind, canMakeCertificates, startTlsFront } from "./support/tls-front.ts";

// The API in trouble for as long as one likes: hours are many failures in a row, and what they must not do is the same.

const HOUR = 3_600_000;
const NOW = Date.now();

test("waits for an API that is not there yet, and has everything once it is", async () => {
  await using database = await createTestDatabase();
  const port = await freePort();
  await using mirror = run({ DATABASE_URL: database.url, WORKOS_BASE_URL: `http://127.0.0.1:${port}` });
  expect(await mirror.says("failing")).toMatchObject({ level: "warn", code: "api_unreachable", failures: 1 });
  await using api = await startSimulatedApi({ port, events: recent(250) });
  await mirror.says("recovered");
  await mirror.says("caught up");
  await expectMirrored(database.pool, api.events);
});

test.each(["http", "https"])(
  "gives up on a server that takes connections and never says a word (%s)",
  async (scheme) => {
    await using database = await createTestDatabase();
    const taken: Socket[] = [];
    const server = createServer((socket) => taken.push(socket.on("error", () => undefined))).listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    const port = typeof address === "object" ? address?.port : undefined;
    await using mirror = run({
      DATABASE_URL: database.url,
      WORKOS_BASE_URL: `${scheme}://127.0.0.1:${port}`,
      REQUEST_TIMEOUT: "1s",
    });
    const line = await mirror.says("failing");
    expect(line).toMatchObject({ code: "api_timeout" });
    expect(line.msg).toContain("no whole answer within 1000 ms");
    for (const socket of taken) socket.destroy();
    server.close();
    await once(server, "close");
    await using api = await startSimulatedApi({ port: Number(port), events: recent(50) });
    if (scheme === "https") return; // what listens there now speaks no TLS, which is another matter
    await mirror.says("caught up");
    await expectMirrored(database.pool, api.events);
  },
);

const ifCertificates = test.skipIf(!canMakeCertificates);

ifCertificates.each<[CertificateKind, string]>([
  ["expired", "certificate has expired"],
  ["of another host", "does not match certificate's altnames"],
  ["of an unknown authority", "unable to verify the first certificate"],
])("shows its key to no server whose certificate is %s, and goes on by itself once it is good", async (kind, said) => {
  await using database = await createTestDatabase();
  await using api = await startSimulatedApi({ events: recent(250) });
  await using front = await startTlsFront(Number(new URL(api.url).port), kind);
  await using mirror = run({
    DATABASE_URL: database.url,
    WORKOS_BASE_URL: front.url,
    NODE_EXTRA_CA_CERTS: front.authority,
  });
  const line = await mirror.says("failing");
  expect(line).toMatchObject({ level: "warn", code: "api_unreachable" });
  expect(line.msg).toContain(said);
  expect(line.whatToDo).toContain("certificates");
  expect(api.requests).toEqual([]);

  await front.present("good");
  await mirror.says("caught up");
  await front.present(kind);
  api.emit(5);
  await mirror.line((later) => later.code === "api_unreachable" && later.time !== line.time);
  await front.present("good");
  await mirror.line(({ cursor }) => cursor === api.events.at(-1)?.id);
  await expectMirrored(database.pool, api.events);
});

/** All that GET /events is known to have answered, or not, in a bad hour, but for a Retry-After: that one is obeyed. */
const bad: Fault[] = [
  faults.tooManyRequests(),
  faults.serverError(500),
  faults.serverError(502, "html"),
  faults.serverError(503, "empty"),
  faults.reset(),
  faults.resetMidBody(),
  faults.truncated(),
  faults.notJson(),
  faults.wrongShape(),
  faults.wrongShape("null"),
  faults.wrongShape("[]"),
  faults.descending(),
  faults.stuck(),
  faults.unauthorized(),
  faults.forbidden(),
  faults.redirect("https://elsewhere.example/events"),
];

test("failure after failure, of every kind, change nothing, and are over with the first good answer", async () => {
  const events = generateEvents({ count: 450, from: NOW - 9 * DAY, to: NOW - HOUR });
  await using bench = await MirrorBench.setUp({ events, now: () => NOW }, { sinceDays: 10 });
  const first = bench.restart();
  await first.step();
  await first.kill();
  const mirror = bench.restart(); // which has no page yet that was asked for before the trouble began
  const before = await tables(bench);
  for (const fault of bad) {
    bench.api.fail(fault, { times: 10 });
    for (let failure = 0; failure < 10; failure += 1) await expectTrouble(mirror.step());
    expect(bench.api.pendingFaults).toBe(0);
    expect(await tables(bench)).toEqual(before);
  }
  await mirror.toHead();
  await mirror.kill();
  await expectMirrored(bench.database.pool, events);
  expect((await tables(bench)).gaps).toEqual([]);
});

const clocks = [
  ["the API's", HOUR],
  ["the API's", -HOUR],
  ["this machine's", HOUR],
  ["this machine's", -HOUR],
] as const;

test.each(clocks)(
  "opens no gap and skips nothing when %s clock jumps by %i ms, wherever it is",
  async (whose, jump) => {
    // By a clock that is an hour ahead, the oldest of them would be too old to be had.
    const oldest = NOW - 90 * DAY + HOUR / 2;
    const events = [
      ...generateEvents({ count: 20, from: oldest, to: oldest + HOUR / 10 }),
      ...generateEvents({ seed: 2, count: 60, from: NOW - 89 * DAY, to: NOW - 2 * HOUR }),
    ];
    const sinceDays = (NOW - oldest) / DAY;
    for (const stepsBefore of [1, 5, Number.POSITIVE_INFINITY]) {
      let ownMs = NOW;
      const api = { events, now: () => NOW, retentionDays: 91 };
      await using bench = await MirrorBench.setUp(api, { sinceDays, pageSize: 10, ownClock: () => ownMs });
      await walk(bench, stepsBefore);
      if (whose === "the API's") bench.api.options.now = () => NOW + jump;
      else ownMs += jump;
      const restarted = bench.restart({ ownClock: () => ownMs });
      await restarted.toHead();
      bench.api.emit(3);
      await restarted.toHead();
      bench.api.options.now = () => NOW;
      ownMs = NOW;
      bench.api.emit(3);
      await restarted.toHead();
      await restarted.kill();
      await expectMirrored(bench.database.pool, bench.api.events);
      expect(await tables(bench)).toMatchObject({ gaps: [], quarantined: [{ count: "0" }] });
    }
  },
);

async function walk(bench: MirrorBench, steps: number): Promise<void> {
  let step: Step | undefined;
  for (let made = 0; made < steps && step?.atHead !== true; made += 1) step = await bench.step();
}

async function expectTrouble(step: Promise<Step>): Promise<void> {
  const ended = await step.catch((error: unknown) => error);
  expect(ended).toBeInstanceOf(Trouble);
}

async function tables({ database }: MirrorBench) {
  const ask = async (statement: string) => (await database.pool.query(statement)).rows;
  return {
    cursors: await ask("select * from workos.cursors"),
    gaps: await ask("select * from workos.gaps"),
    events: await ask("select count(*) from workos.events"),
    quarantined: await ask("select count(*) from workos.quarantined_events"),
  };
}

function recent(count: number): SimulatedApi["events"] {
  const now = Date.now();
  return generateEvents({ count, from: now - 9 * DAY, to: now - 60_000 });
}

function run(env: Record<string, string>): MirrorProcess {
  return new MirrorProcess(["run"], {
    WORKOS_API_KEY: "sk_test_simulated",
    SYNC_SINCE: "20d",
    POLL_INTERVAL: "200ms",
    ...env,
  });
}
