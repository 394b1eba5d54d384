import fc from "fast-check";
import { expect, test } from "vitest";
import { Trouble } from "../src/trouble.ts";
import { DAY, MirrorBench } from "./support/mirror-bench.ts";
import { expectCursorNotAhead, expectMirrored } from "./support/mirrored.ts";
import { type Fault, faults } from "./support/simulated-api.ts";
import { generateEvents } from "./support/simulated-events.ts";

/** What may happen while a mirror works. */
type Happening =
  | { kind: "steps"; count: number }
  | { kind: "emit"; count: number }
  | { kind: "fault"; fault: Fault; times: number }
  | { kind: "restart" }
  | { kind: "second mirror"; steps: number }
  | { kind: "connections cut" };

/** Not among them: two empty answers in a row, which is how the API says that a window of an old position is empty. */
const fault = fc.constantFrom(
  faults.tooManyRequests(),
  faults.serverError(500),
  faults.serverError(502, "html"),
  faults.serverError(503, "empty"),
  faults.reset(),
  faults.resetMidBody(),
  faults.truncated(),
  faults.notJson(),
  faults.wrongShape(),
  faults.duplicates(),
  faults.overlap({ by: 3 }),
  faults.descending(),
  faults.stuck(),
  faults.unauthorized(),
);

const happening: fc.Arbitrary<Happening> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("steps" as const), count: fc.integer({ min: 1, max: 6 }) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("emit" as const), count: fc.integer({ min: 1, max: 40 }) }) },
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant("fault" as const), fault, times: fc.integer({ min: 1, max: 2 }) }),
  },
  { weight: 2, arbitrary: fc.constant({ kind: "restart" as const }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("second mirror" as const), steps: fc.integer({ min: 1, max: 4 }) }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: "connections cut" as const }) },
);

test("whatever happens in whatever order, every event is there once and the cursor is never ahead", async () => {
  const history = fc.record({
    seed: fc.integer({ min: 1, max: 1000 }),
    count: fc.integer({ min: 0, max: 400 }),
    pageSize: fc.constantFrom(7, 20, 100),
    unknownCursor: fc.constantFrom("reject" as const, "ignore" as const),
  });
  await fc.assert(
    fc.asyncProperty(history, fc.array(happening, { maxLength: 25 }), async (given, happenings) => {
      const now = Date.now();
      const events = generateEvents({ seed: given.seed, count: given.count, from: now - 88 * DAY, to: now - 60_000 });
      await using first = await MirrorBench.setUp({ events, unknownCursor: given.unknownCursor }, given);
      let mirror = first.restart();
      for (const happened of happenings) {
        mirror = await happen(mirror, happened);
        await expectCursorNotAhead(first.database.pool);
      }
      first.api.clearFaults();
      await mirror.toHead().catch(() => undefined); // may begin with a page that was prefetched before
      await mirror.toHead();
      await mirror.kill();
      await expectMirrored(first.database.pool, first.api.events);
      const { rows } = await first.database.pool.query("select * from workos.gaps");
      expect(rows).toEqual([]);
    }),
    { numRuns: Number(process.env.PROPERTY_RUNS ?? 40), interruptAfterTimeLimit: 600_000 },
  );
}, 700_000);

async function happen(mirror: MirrorBench, happened: Happening): Promise<MirrorBench> {
  const { api, database } = mirror;
  switch (happened.kind) {
    case "steps":
      await stepsOf(mirror, happened.count);
      return mirror;
    case "emit":
      api.emit(happened.count);
      return mirror;
    case "fault":
      api.fail(happened.fault, { times: happened.times });
      return mirror;
    case "restart":
      await mirror.kill();
      return mirror.restart();
    case "second mirror": {
      const second = mirror.restart();
      await Promise.all([stepsOf(mirror, happened.steps), stepsOf(second, happened.steps)]);
      await second.kill();
      return mirror;
    }
    case "connections cut":
      await database.pool.query(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name like 'workos%'",
      );
      return mirror;
  }
}

/** Failures are what this is about; only what is no Trouble is a mistake. */
async function stepsOf(mirror: MirrorBench, count: number): Promise<void> {
  for (let step = 0; step < count; step += 1) {
    await mirror.step().catch((error: unknown) => {
      if (!(error instanceof Trouble)) throw error;
    });
  }
}
