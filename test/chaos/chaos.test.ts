import { randomInt } from "node:crypto";
import { afterAll, expect, test } from "vitest";
import { expectMirrored } from "../support/mirrored.ts";
import { SeededRandom } from "../support/simulated-random.ts";
import { digestOf } from "./checks.ts";
import type { Consumer } from "./consumers.ts";
import type { ChaosPostgres } from "./database.ts";
import { Figures } from "./figures.ts";
import { aroundMirrors, choose, toMirrors } from "./happenings.ts";
import { reach } from "./patience.ts";
import { planOf } from "./plan.ts";
import { Violation } from "./violation.ts";
import { World } from "./world.ts";

// Each seed is a world of its own: an API, a Postgres, one mirror or two, and programs that read what they mirror, all
// of which are killed, stopped, frozen and cut off from each other while events go on happening.

const KILLS_PER_WORLD = planOf(0).kills;
const kills = Number(process.env.CHAOS_KILLS ?? 100);
const firstSeed = Number(process.env.CHAOS_SEED ?? randomInt(1_000_000));
const seeds = Array.from({ length: Math.ceil(kills / KILLS_PER_WORLD) }, (_, place) => firstSeed + place);

const total = new Figures();
const began = performance.now();

test.concurrent.each(seeds)("seed %i: every event is there once, and the cursor was never ahead", async (seed) => {
  const worldBegan = performance.now();
  await using world = await World.begin(planOf(seed));
  try {
    await bringUp(world);
    await live(world);
    await settle(world);
    await compare(world);
  } catch (error) {
    throw new Error(`CHAOS_SEED=${seed} CHAOS_KILLS=1 plays it again\n${world.story}`, { cause: error });
  } finally {
    total.add(world.figures);
    console.log(`seed ${seed}, ${seconds(worldBegan)} s: ${world.figures}`);
  }
});

afterAll(() => {
  console.log(`CHAOS_SEED=${firstSeed} CHAOS_KILLS=${kills}, ${seconds(began)} s: ${total.kills} kills\n${total}`);
});

/** A long history is being caught up, and killed again and again in the middle of it. */
async function bringUp(world: World): Promise<void> {
  const { plan, api, check, figures } = world;
  const { latencyMs } = api.api.options;
  api.api.options.latencyMs = plan.historyLatencyMs;
  for (let step = 0; figures.kills < plan.killsInHistory && check.read < api.listed.length - 1_000; step += 1) {
    const random = new SeededRandom(plan.seed * 1_000 + step);
    if (random.chance(0.5)) api.failEmpty();
    await choose(random.chance(0.7) ? toMirrors : aroundMirrors, random)(world, random);
    await world.expectSound();
  }
  api.api.options.latencyMs = latencyMs;
  figures.count("of the kills in the middle of a history", figures.kills);
}

/** Near the head: anything may happen, also two things at once. */
async function live(world: World): Promise<void> {
  const { plan, figures } = world;
  for (let step = 0; figures.kills < plan.kills; step += 1) {
    const random = new SeededRandom(plan.seed * 1_000 + 500 + step);
    const which = random.integer(3);
    await Promise.all([
      which === 0 ? undefined : choose(toMirrors, random)(world, random),
      which === 1 ? undefined : choose(aroundMirrors, random)(world, new SeededRandom(random.bits())),
    ]);
    await world.expectSound();
  }
}

/** The trouble is over: whatever was missed is caught up. */
async function settle(world: World): Promise<void> {
  const { api, check, replicas } = world;
  api.endEmission();
  api.api.clearFaults();
  for (const replica of replicas) {
    await replica.stop();
    world.figures.count("SIGTERM");
    replica.start();
  }
  const read = async () => {
    await world.expectSound();
    return check.read;
  };
  await reach(api.listed.length, read, "events that the cursor has passed");
  world.figures.count("events", api.toBeStored.length);
  world.figures.count("quarantined events", api.toBeQuarantined.length);
}

async function compare(world: World): Promise<void> {
  const { api, postgres, consumers, replicas, check } = world;
  for (const replica of replicas) {
    const ready = async () => ((await replica.look())["/readyz"] === "200 ok\n" ? 1 : 0);
    await reach(1, ready, `/readyz of ${replica.name}`);
    await replica.stop();
    world.figures.count("SIGTERM");
  }
  await world.expectSound();
  await expectMirrored(postgres.pool, api.toBeStored);
  expect(check.read).toBe(api.listed.length);
  for (const consumer of consumers) await expectSeenOnce(consumer, postgres);
  const { rows: quarantine } = await postgres.pool.query("select digest from workos.quarantined_events order by 1");
  expect(quarantine.map(({ digest }) => digest)).toEqual(api.toBeQuarantined.map(digestOf).sort());
  expect((await postgres.pool.query("select * from workos.gaps")).rows).toEqual([]);
  const { rows: cursors } = await postgres.pool.query("select after from workos.cursors");
  const last = api.listed.findLast(({ id }) => id !== "");
  expect(cursors).toEqual([{ after: last?.id }]);
}

/** In the order of `seq`, each once, and none left out. */
async function expectSeenOnce(consumer: Consumer, { pool }: ChaosPostgres): Promise<void> {
  const { rows: stored } = await pool.query<Row>("select seq, id from workos.events order by seq");
  const count = async () => (await consumer.seen()).length;
  const waited = await reach(stored.length, count, "events seen").catch(messageOf);
  const seen = await consumer.seen();
  const place = stored.findIndex(({ id }, at) => seen[at] !== id);
  if (place === -1 && seen.length === stored.length) return;
  const around = { stored: stored.slice(place - 2, place + 3), seen: seen.slice(place - 2, place + 3) };
  throw new Violation(
    `the consumer ${consumer.name} saw ${seen.length} of ${stored.length} events (${waited ?? "after all"}), and not what is stored ` +
      `from place ${place} on: ${JSON.stringify(around)}; ${JSON.stringify(consumer)}`,
  );
}

interface Row {
  seq: string;
  id: string;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function seconds(since: number): number {
  return Math.round((performance.now() - since) / 1000);
}
