import { setTimeout as delay } from "node:timers/promises";
import { type Fault, faults } from "../support/simulated-api.ts";
import type { SeededRandom } from "../support/simulated-random.ts";
import type { Replica } from "./replica.ts";
import type { World } from "./world.ts";

/** What may happen to one part of a world. It mends what it broke, but for faults that are still to be met. */
export type Happening = (world: World, random: SeededRandom) => Promise<void>;

type Choice = readonly [weight: number, happening: Happening];

/** Waits in the middle of a mirror's work: for some pages to be asked for, and then into the write of the last one. */
async function someWork({ api }: World, random: SeededRandom, mostMs = 1_000): Promise<void> {
  const before = api.api.requests.length;
  const wanted = before + 1 + random.integer(6);
  for (const end = performance.now() + random.integer(mostMs); performance.now() < end; await delay(2)) {
    if (api.api.requests.length >= wanted) break;
  }
  await delay(random.integer(20));
}

async function kill(world: World, replica: Replica): Promise<void> {
  await replica.kill();
  world.tell("kill -9 of a mirror");
}

// ---- To the mirrors ---------------------------------------------------------------------------------------------

const killOne: Happening = async (world, random) => {
  await someWork(world, random);
  const replica = world.anyReplica(random);
  await kill(world, replica);
  if (random.chance(0.3)) await delay(random.integer(500));
  replica.start();
};

const killAll: Happening = async (world, random) => {
  await someWork(world, random);
  await Promise.all(world.replicas.map((replica) => kill(world, replica)));
  for (const replica of world.replicas) replica.start();
};

/** Without any work before: it is still loading, connecting, migrating, or asking for the lock. */
const killAtStart: Happening = async (world, random) => {
  const replica = world.anyReplica(random);
  await kill(world, replica);
  replica.start();
  await delay(random.integer(700));
  await kill(world, replica);
  replica.start();
};

const stopOne: Happening = async (world, random) => {
  await someWork(world, random);
  const replica = world.anyReplica(random);
  await replica.stop();
  world.tell("SIGTERM");
  replica.start();
};

const stopThenKill: Happening = async (world, random) => {
  await someWork(world, random);
  const replica = world.anyReplica(random);
  await replica.stopThenKill(random.integer(40));
  world.tell("SIGTERM");
  world.tell("kill -9 of a mirror");
  replica.start();
};

/** Asleep, as a laptop or a paused virtual machine is, while another may take over: Postgres has given up its lock. */
const freezeOne: Happening = async (world, random) => {
  world.api.api.emit(1_500); // so that it is walking, and not at rest
  await someWork(world, random);
  const replica = random.chance(0.8) ? world.leader(random) : world.anyReplica(random);
  replica.freeze();
  if (random.chance(0.7)) await world.postgres.endSessions("% lock");
  // Now and then for longer than Postgres lets a transaction sleep.
  await delay(random.chance(0.1) ? 11_000 : 200 + random.integer(2_500));
  replica.thaw();
  world.tell("SIGSTOP");
  if (!random.chance(0.3)) return;
  await kill(world, replica);
  replica.start();
};

/** Another writer beside those that hold the lock. */
const backfillBeside: Happening = async (world, random) => {
  const since = new Date(world.api.startMs + random.fraction() * (world.api.api.options.now() - world.api.startMs));
  await world.anyReplica(random).runBeside(["backfill", "--since", since.toISOString()], 300 + random.integer(2_500));
  world.tell("backfill beside");
};

// ---- To Postgres and the way there ------------------------------------------------------------------------------

const restartPostgres =
  (how: "kill" | "immediate" | "fast"): Happening =>
  async (world, random) => {
    await someWork(world, random);
    await world.postgres.restart(how, random.integer(800));
    world.check.forget();
    world.tell(how === "kill" ? "kill -9 of Postgres" : `${how} shutdown of Postgres`);
  };

const killSession: Happening = async (world, random) => {
  await someWork(world, random);
  await world.postgres.killSession();
  world.check.forget();
  world.tell("kill -9 of a Postgres session");
};

const endSessions: Happening = async (world, random) => {
  await someWork(world, random);
  await world.postgres.endSessions(random.chance(0.3) ? "% lock" : undefined);
  world.tell("sessions ended");
};

const freezeSessions: Happening = async (world, random) => {
  await someWork(world, random);
  const thaw = await world.postgres.freezeSessions();
  await delay(200 + random.integer(2_000));
  thaw();
  world.tell("Postgres frozen");
};

const cutNetwork: Happening = async (world, random) => {
  await someWork(world, random);
  world.network.reset();
  world.tell("connections reset");
};

const blackHole: Happening = async (world, random) => {
  await someWork(world, random);
  world.network.blackHole();
  await delay(200 + random.integer(2_000));
  if (random.chance(0.6)) world.network.reset();
  else world.network.flow();
  world.tell("black hole");
};

/** The mirror can't know whether its commit was done. */
const loseAnswers: Happening = async (world, random) => {
  await someWork(world, random);
  world.network.swallowAnswers();
  await delay(random.integer(400));
  world.network.reset();
  world.tell("answers of Postgres lost");
};

// ---- To the API -------------------------------------------------------------------------------------------------

const passing: readonly (() => Fault)[] = [
  () => faults.tooManyRequests(),
  () => faults.tooManyRequests({ retryAfter: 1 }),
  () => faults.tooManyRequests({ retryAfter: new Date(Date.now() + 1_000) }),
  () => faults.tooManyRequests({ retryAfter: "body" }),
  () => faults.serverError(500),
  () => faults.serverError(502, "html"),
  () => faults.serverError(503, "empty"),
  () => faults.reset(),
  () => faults.resetMidBody(),
  () => faults.hang(),
  () => faults.hangMidBody(),
  () => faults.slowDrip({ bytesPerSecond: 2_000 }),
  () => faults.truncated(),
  () => faults.notJson(),
  () => faults.wrongShape(),
  () => faults.descending(),
  () => faults.stuck(),
];

/** Pages that are odd, but of use. */
const odd: readonly (() => Fault)[] = [() => faults.duplicates(), () => faults.overlap({ by: 4 })];

const refusing: readonly (() => Fault)[] = [
  () => faults.unauthorized(),
  () => faults.forbidden(),
  () => faults.redirect("https://elsewhere.example/events"),
];

const anyOf = (choices: readonly (() => Fault)[], random: SeededRandom): Fault =>
  (choices[random.integer(choices.length)] ?? faults.reset)();

const failPassing: Happening = async (world, random) => {
  if (random.chance(0.2)) world.api.failEmpty();
  else world.api.api.fail(anyOf(random.chance(0.3) ? odd : passing, random), { times: 1 + random.integer(2) });
  world.tell("API faults");
  await someWork(world, random);
};

/** Asked again only after a minute: whoever replaces the key restarts the mirror, too. */
const failRefusing: Happening = async (world, random) => {
  world.api.api.fail(anyOf(refusing, random), { times: world.replicas.length });
  world.tell("API faults");
  await someWork(world, random);
  await killAll(world, random);
};

/** Some of its answers say 404, which costs the mirror its cursor. */
const failUnknown: Happening = async (world, random) => {
  if (world.plan.cursorMayMoveBack) world.api.api.fail(faults.notFound(), { when: ({ query }) => query.has("after") });
  world.tell("API faults");
  await someWork(world, random);
};

const restartApi: Happening = async (world, random) => {
  await someWork(world, random);
  await world.api.restart(random.integer(800));
  world.tell("API restarts");
};

const slowApi: Happening = async (world, random) => {
  const { options } = world.api.api;
  const { latencyMs, rateLimit } = options;
  options.latencyMs = 50 + random.integer(400);
  if (random.chance(0.4)) options.rateLimit = { requests: 1 + random.integer(5), perMs: 1_000 };
  await delay(500 + random.integer(1_500));
  Object.assign(options, { latencyMs, rateLimit });
  world.tell("API slow");
};

const burst: Happening = async (world, random) => {
  world.api.api.emit(100 + random.integer(900));
  world.tell("bursts of events");
  await someWork(world, random);
};

const poisonous: Happening = async (world, random) => {
  world.api.emitPoison(1 + random.integer(5));
  world.tell("rounds of hard events");
  await someWork(world, random);
};

/** The whole rack. */
const killEverything: Happening = async (world, random) => {
  await someWork(world, random);
  const downMs = random.integer(500);
  await Promise.all([
    world.postgres.restart("kill", downMs),
    world.api.restart(downMs),
    ...world.replicas.map((replica) => kill(world, replica)),
  ]);
  world.check.forget();
  world.tell("kill -9 of Postgres");
  world.tell("API restarts");
  for (const replica of world.replicas) replica.start();
};

/** What happens to a mirror; at most one of these at a time. */
export const toMirrors: readonly Choice[] = [
  [6, killOne],
  [1, killAll],
  [1, killAtStart],
  [2, stopOne],
  [1, stopThenKill],
  [6, freezeOne],
  [1, backfillBeside],
  [1, failRefusing],
  [1, killEverything],
];

/** What happens around the mirrors, meanwhile or instead. */
export const aroundMirrors: readonly Choice[] = [
  [3, restartPostgres("kill")],
  [1, restartPostgres("immediate")],
  [1, restartPostgres("fast")],
  [2, killSession],
  [2, endSessions],
  [1, freezeSessions],
  [3, cutNetwork],
  [2, blackHole],
  [3, loseAnswers],
  [6, failPassing],
  [1, failUnknown],
  [2, restartApi],
  [2, slowApi],
  [1, burst],
  [3, poisonous],
];

export function choose(choices: readonly Choice[], random: SeededRandom): Happening {
  let left = random.integer(choices.reduce((sum, [weight]) => sum + weight, 0));
  for (const [weight, happening] of choices) {
    left -= weight;
    if (left < 0) return happening;
  }
  throw new Error("nothing can happen");
}
