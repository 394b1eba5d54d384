import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { MirrorProcess } from "../support/mirror-process.ts";
import { type SimulatedApi, startSimulatedApi } from "../support/simulated-api.ts";
import { generateEvents, type SimulatedEvent } from "../support/simulated-events.ts";
import { newId, SeededRandom } from "../support/simulated-random.ts";
import { ChaosPostgres } from "./database.ts";
import { reach } from "./patience.ts";

const DAY = 86_400_000;
const MEGABYTE = 2 ** 20;
/** What a container for it may be given. */
const MOST_MEGABYTES = 256;
/** How long Postgres does nothing; minutes on demand. */
const STALL_MS = Number(process.env.CHAOS_STALL_SECONDS ?? 10) * 1_000;

// The high-water mark of a process's memory is the kernel's own figure, which is there on Linux only.
const onLinux = test.skipIf(process.platform !== "linux");

onLinux("takes a hundred events of a megabyte each in a row", async () => {
  await using postgres = await ChaosPostgres.start();
  await using api = await startSimulatedApi({ events: largeEvents({ count: 100, bytes: MEGABYTE, seed: 1 }) });
  await using mirror = start(api, postgres);
  await mirror.says("caught up");
  api.emit(largeEvents({ count: 100, bytes: MEGABYTE, seed: 2 }));
  await storedAll(api, postgres);
  await expectModest(mirror, "200 events of 1 MB");
});

onLinux("takes five thousand pages in a row", async () => {
  await using postgres = await ChaosPostgres.start();
  const now = Date.now();
  const events = generateEvents({ count: 50_000, from: now - 20 * DAY, to: now - 60_000 });
  await using api = await startSimulatedApi({ events });
  await using mirror = start(api, postgres, { PAGE_SIZE: "10" });
  await storedAll(api, postgres);
  expect(api.requests.length).toBeGreaterThan(5_000);
  await expectModest(mirror, "5,000 pages");
});

onLinux("lets nothing pile up while Postgres does nothing, however fast the API is", async () => {
  await using postgres = await ChaosPostgres.start();
  await using api = await startSimulatedApi({ events: largeEvents({ count: 2_000, bytes: MEGABYTE / 10, seed: 3 }) });
  await using mirror = start(api, postgres);
  await reach(1, () => stored(postgres), "the first events");
  const blocker = await postgres.pool.connect();
  await blocker.query("begin; lock table workos.events in exclusive mode");
  await delay(STALL_MS);
  await blocker.query("rollback");
  blocker.release();
  await storedAll(api, postgres);
  await expectModest(mirror, `a stall of ${STALL_MS / 1000} s`);
});

function start(api: SimulatedApi, postgres: ChaosPostgres, env: Record<string, string> = {}): MirrorProcess {
  return new MirrorProcess(["run"], {
    WORKOS_API_KEY: api.apiKey,
    WORKOS_BASE_URL: api.url,
    DATABASE_URL: postgres.url,
    RATE_LIMIT: "100000/1s",
    POLL_INTERVAL: "200ms",
    HTTP_HOST: "127.0.0.1",
    HTTP_PORT: "0",
    ...env,
  });
}

/** Every other one beyond Latin-1, which costs JavaScript two bytes for each character. */
function largeEvents({ count, bytes, seed }: { count: number; bytes: number; seed: number }): SimulatedEvent[] {
  const random = new SeededRandom(seed);
  const from = Date.now() - 60_000;
  return Array.from({ length: count }, (_, place) => {
    const timeMs = from + place;
    const id = newId("event", timeMs, random);
    const createdAt = new Date(timeMs).toISOString();
    const piece = place % 2 === 0 ? `${random.characters(62)} ` : `${random.characters(57)} 東京`;
    const notes = piece.repeat(Math.floor(bytes / 64));
    const text = `{"object":"event","id":"${id}","event":"user.updated","data":{"notes":"${notes}"},"created_at":"${createdAt}"}`;
    return { id, event: "user.updated", createdAt, timeMs, organizationId: null, text };
  });
}

async function storedAll(api: SimulatedApi, postgres: ChaosPostgres): Promise<void> {
  await reach(api.events.length, () => stored(postgres), "events stored");
}

async function stored({ pool }: ChaosPostgres): Promise<number> {
  const { rows } = await pool.query("select to_regclass('workos.events') is not null as migrated");
  return rows[0].migrated ? (await pool.query("select count(*)::int from workos.events")).rows[0].count : 0;
}

/** The most memory that it ever had, by the kernel's account. */
async function expectModest(mirror: MirrorProcess, what: string): Promise<void> {
  const status = await readFile(`/proc/${mirror.child.pid}/status`, "utf8");
  const megabytes = Math.round(Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024);
  console.log(`${what}: ${megabytes} MB at most`);
  expect(megabytes).toBeLessThan(MOST_MEGABYTES);
}
