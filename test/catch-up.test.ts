import { expect, test } from "vitest";
import type { Cursor, FetchPage } from "../src/event.ts";
import type { MirrorParts } from "../src/mirror.ts";
import { Trouble } from "../src/trouble.ts";
import { DAY, MirrorBench, type MirrorSettings } from "./support/mirror-bench.ts";
import { expectCursorNotAhead, expectMirrored } from "./support/mirrored.ts";
import { faults, type SimulatedApiOptions } from "./support/simulated-api.ts";
import { generateEvents, type SimulatedEvent } from "./support/simulated-events.ts";

const NOW = Date.parse("2026-11-20T12:00:00Z");

interface CursorRow {
  after: string | null;
  at: Date;
  range_start: Date | number;
  range_end: Date | number;
}

function history(count: number, { days = 89, seed = 1, endsDaysAgo = 0 } = {}): SimulatedEvent[] {
  return generateEvents({ seed, count, from: NOW - days * DAY, to: NOW - endsDaysAgo * DAY });
}

/** A mirror that reads up to eight slices side by side, ten events a page. */
function setUp(api: SimulatedApiOptions, settings: MirrorSettings = {}): Promise<MirrorBench> {
  const parallel = { concurrency: 8, pageSize: 10, ...settings };
  return MirrorBench.setUp({ now: () => NOW, latencyMs: 20, ...api }, parallel);
}

async function cursorsOf({ database }: MirrorBench): Promise<CursorRow[]> {
  const { rows } = await database.pool.query<CursorRow>(
    "select after, at, range_start, range_end from workos.cursors order by range_end",
  );
  return rows;
}

/** Whoever is killed now goes on from what is stored: nothing before a position may be missing. */
async function expectReadIsStored(bench: MirrorBench): Promise<void> {
  await expectCursorNotAhead(bench.database.pool);
  const { rows } = await bench.database.pool.query<{ id: string }>("select id from workos.events");
  const stored = new Set(rows.map(({ id }) => id));
  for (const { at, range_start } of await cursorsOf(bench)) {
    const from = range_start === Number.NEGATIVE_INFINITY ? 0 : Number(range_start);
    const read = bench.api.events.filter(({ timeMs }) => timeMs >= from && timeMs < Number(at));
    expect(read.filter(({ id }) => !stored.has(id))).toEqual([]);
  }
}

test("reads slices of a long history side by side, and leaves one cursor when all of it is read", async () => {
  await using bench = await setUp({ events: history(3_000) });
  let most = 0;
  do most = Math.max(most, (await cursorsOf(bench)).length);
  while (!(await bench.step()).rest);
  expect(most).toBeGreaterThanOrEqual(8);
  const [head, ...others] = await cursorsOf(bench);
  expect(head).toMatchObject({ after: bench.api.events.at(-1)?.id, range_end: Number.POSITIVE_INFINITY });
  expect(others).toEqual([]);
  await expectMirrored(bench.database.pool, bench.api.events);
});

test("the ranges of the cursors leave no hole between them and do not overlap, whenever one looks", async () => {
  await using bench = await setUp({ events: history(2_000) });
  do {
    const cursors = await cursorsOf(bench);
    const starts = cursors.slice(1).map(({ range_start }) => Number(range_start));
    expect(starts).toEqual(cursors.slice(0, -1).map(({ range_end }) => Number(range_end)));
  } while (!(await bench.step()).rest);
});

test("everything before a cursor's position is stored, whenever one looks", async () => {
  await using bench = await setUp({ events: history(2_000) });
  do await expectReadIsStored(bench);
  while (!(await bench.step()).rest);
});

test("goes on with every slice after it was killed, and reads next to nothing twice", async () => {
  const events = history(3_000);
  await using bench = await setUp({ events });
  let mirror = bench.restart();
  let rest = false;
  while (!rest) {
    for (let steps = 0; steps < 5 && !rest; steps += 1) rest = (await mirror.step()).rest;
    await mirror.kill();
    mirror = mirror.restart();
  }
  await mirror.kill();
  await expectMirrored(bench.database.pool, events);
  expect(await cursorsOf(bench)).toHaveLength(1);
});

test("asks for hardly more pages than there are", async () => {
  await using bench = await setUp({ events: history(6_000, { days: 25 }) }, { sinceDays: 26 });
  await bench.toHead();
  expect(bench.api.requests.length).toBeLessThan(600 * 1.03);
});

test("stores what happens meanwhile at once, before history is read", async () => {
  await using bench = await setUp({ events: history(4_000) }, { pollIntervalMs: 10 });
  for (let steps = 0; steps < 20; steps += 1) await bench.step();
  const [live] = bench.api.emit(1);
  const isStored = async () => {
    const { rowCount } = await bench.database.pool.query("select from workos.events where id = $1", [live?.id]);
    return rowCount === 1;
  };
  let step = await bench.step();
  while (!(await isStored())) step = await bench.step();
  expect(step.history?.share).toBeLessThan(0.9);
  await bench.toHead();
  await expectMirrored(bench.database.pool, bench.api.events);
});

function lookingAt(look: (request: Parameters<FetchPage>[0]) => void) {
  return ({ fetchPage }: MirrorParts): Partial<MirrorParts> => ({
    fetchPage: (request, signal) => {
      look(request);
      return fetchPage(request, signal);
    },
  });
}

test("history leaves the head its places of the rate limit, and some to spare while events come in", async () => {
  const left = new Set<number>();
  const around = lookingAt(({ background }) => {
    if (background !== undefined) left.add(background.leave);
  });
  // of the 10,000 requests that the bench allows in a second
  const looks = 100;
  await using bench = await setUp({ events: history(8_000) }, { pollIntervalMs: 10, around });
  while (!left.has(looks)) await bench.step();
  left.clear();
  while (!left.has(looks + 2)) {
    bench.api.emit(1);
    await bench.step();
  }
  expect([...left].filter((places) => places !== looks && places !== looks + 2)).toEqual([]);
});

test("a head by itself takes no place of those that history leaves it: they would be missing beside history", async () => {
  const asked: (number | "at once")[] = [];
  const around = lookingAt(({ background }) => void asked.push(background?.leave ?? "at once"));
  await using bench = await setUp({ events: history(1_000) }, { pollIntervalMs: 10, around });
  await bench.toHead();
  const [first, ...others] = asked.splice(0);
  expect(first).toBe(0);
  expect(others).toContain("at once");
  await bench.step();
  expect(asked).toEqual([0]);
});

test("catches up after a long outage in slices, too", async () => {
  const events = history(60, { days: 80, endsDaysAgo: 70 });
  await using bench = await setUp({ events, latencyMs: 100, now: () => NOW - 70 * DAY });
  await bench.toHead();
  bench.api.emit(generateEvents({ seed: 5, count: 700, from: NOW - 70 * DAY, to: NOW }));
  bench.api.options.now = () => NOW;
  let most = 0;
  do most = Math.max(most, (await cursorsOf(bench)).length);
  while (!(await bench.step()).rest);
  expect(most).toBeGreaterThan(4);
  await expectMirrored(bench.database.pool, bench.api.events);
});

test("a short history is read by one cursor, page after page", async () => {
  await using bench = await setUp({ events: history(70) });
  do expect((await cursorsOf(bench)).length).toBeLessThanOrEqual(1);
  while (!(await bench.step()).rest);
  await expectMirrored(bench.database.pool, bench.api.events);
});

test("finds out by itself how many slices keep the rate limit busy", async () => {
  await using bench = await setUp({ events: history(1_500), latencyMs: 300 }, { concurrency: "auto" });
  let most = 0;
  do most = Math.max(most, (await cursorsOf(bench)).length);
  while (!(await bench.step()).rest);
  expect(most).toBeGreaterThan(8);
  await expectMirrored(bench.database.pool, bench.api.events);
});

test("with a concurrency of 1, reads the same history one page at a time", async () => {
  await using bench = await setUp({ events: history(1_000) }, { concurrency: 1 });
  do expect((await cursorsOf(bench)).length).toBeLessThanOrEqual(1);
  while (!(await bench.step()).rest);
  await expectMirrored(bench.database.pool, bench.api.events);
});

test("two mirrors on the same slices lose nothing and store nothing twice", async () => {
  await using bench = await setUp({ events: history(2_000) });
  const other = bench.restart();
  await Promise.all([bench.toHead(), other.toHead()]);
  await other.kill();
  await bench.toHead();
  await expectMirrored(bench.database.pool, bench.api.events);
  const { rows } = await bench.database.pool.query("select count(distinct seq)::int as count from workos.events");
  expect(rows).toEqual([{ count: 2_000 }]);
  expect(await cursorsOf(bench)).toHaveLength(1);
});

test("a slice that can't be read is still failing while the head is looked at", async () => {
  await using bench = await setUp({ events: history(900) }, { pollIntervalMs: 1 });
  for (let steps = 0; steps < 5; steps += 1) await bench.step();
  bench.api.fail(faults.hang(), { times: 16, when: ({ query }) => query.has("range_end") });
  const failing: unknown[] = [];
  for (let rest = false; !rest; ) {
    const step = await bench.step().catch(() => undefined);
    failing.push(step === undefined ? "failed" : step.isFailing);
    rest = step?.rest === true || (step?.atHead === true && step.isFailing === false);
  }
  expect(failing).toContain("failed");
  expect(failing).toContain(true);
  expect(failing.at(-1)).toBe(false);
  await expectMirrored(bench.database.pool, bench.api.events);
});

test("what is cut off the head after an outage begins where the head was", async () => {
  const cuts: Cursor[] = [];
  const around = ({ store }: MirrorParts): Partial<MirrorParts> => ({
    store: {
      ...store,
      splitCursor: (key, cursor, at) => {
        cuts.push(cursor);
        return store.splitCursor(key, cursor, at);
      },
    },
  });
  await using bench = await setUp({ events: history(600) }, { around });
  await bench.toHead();
  cuts.length = 0;
  bench.api.options.now = () => NOW + 10 * DAY;
  bench.api.emit(generateEvents({ seed: 2, count: 600, from: NOW + 1000, to: NOW + 10 * DAY }));
  await bench.toHead();
  expect(cuts[0]).toMatchObject({ rangeStart: undefined, rangeEnd: undefined });
  await expectMirrored(bench.database.pool, bench.api.events);
});

test("tells of a gap that was recorded, though the answer to its commit was lost", async () => {
  let isLost = false;
  const around = ({ store }: MirrorParts): Partial<MirrorParts> => ({
    store: {
      ...store,
      savePages: async (key, saves) => {
        const answers = await store.savePages(key, saves);
        if (isLost || answers.every(({ gaps }) => gaps.length === 0)) return answers;
        isLost = true;
        throw new Trouble("Postgres: away", { kind: "passing", code: "postgres_failing" });
      },
    },
  });
  await using bench = await setUp({ events: history(3_000) }, { around, sinceDays: 200 });
  await expect(bench.toHead()).rejects.toMatchObject({ code: "postgres_failing" });
  const steps = await bench.toHead();
  const { rows } = await bench.database.pool.query("select from workos.gaps");
  expect(rows).toHaveLength(1);
  expect(steps.flatMap(({ news }) => news.map(({ code }) => code))).toContain("gap");
});

test("bursts, silences and instants with more events than a page are cut without a loss", async () => {
  const instant = generateEvents({ seed: 2, count: 35, from: NOW - 40 * DAY, to: NOW - 40 * DAY + 1 });
  const burst = generateEvents({ seed: 3, count: 900, from: NOW - 70 * DAY, to: NOW - 70 * DAY + 60_000 });
  const events = [...burst, ...instant, ...history(300, { days: 3, seed: 4 })];
  await using bench = await setUp({ events });
  await bench.toHead();
  await expectMirrored(bench.database.pool, bench.api.events);
});

test("a burst of events is read side by side, short as it is in a slice of days", async () => {
  const from = NOW - 40 * DAY;
  const until = from + 3_600_000;
  const burst = generateEvents({ seed: 2, count: 900, from, to: until });
  await using bench = await setUp({ events: [...history(300, { days: 80 }), ...burst] });
  let most = 0;
  do {
    const within = (await cursorsOf(bench)).filter(
      ({ range_start: start }) => Number(start) > from && Number(start) < until,
    );
    most = Math.max(most, within.length);
  } while (!(await bench.step()).rest);
  expect(most).toBeGreaterThan(2);
  await expectMirrored(bench.database.pool, bench.api.events);
});

test.each([
  ["an API that looks at the last 30 days behind a cursor", { cursorWindow: "present" as const }],
  ["an API that refuses a start older than it keeps", { staleStart: "refuse" as const }],
  ["an API that holds events back", { holdBackMs: 5_000 }],
])("works against %s", async (_name, rules) => {
  await using bench = await setUp({ events: history(1_500), ...rules }, { sinceDays: 89 });
  await bench.toHead();
  bench.api.options.holdBackMs = 0;
  await bench.toHead();
  await expectMirrored(bench.database.pool, bench.api.events);
});

test("one slice's failure leaves the others' pages stored, and is got over", async () => {
  await using bench = await setUp({ events: history(2_000) });
  for (let steps = 0; steps < 10; steps += 1) await bench.step();
  bench.api.fail(faults.serverError(), { times: 3 });
  const failures: unknown[] = [];
  for (let rest = false; !rest; ) {
    rest = await bench.step().then(
      (step) => step.rest,
      (error: unknown) => failures.push(error) < 0,
    );
  }
  expect(failures.length).toBeGreaterThan(0);
  expect(failures.length).toBeLessThanOrEqual(3);
  await expectMirrored(bench.database.pool, bench.api.events);
});

test("an empty answer that was not true ends no slice", async () => {
  await using bench = await setUp({ events: history(1_500) });
  for (let steps = 0; steps < 10; steps += 1) await bench.step();
  const started = new Set<string>();
  const firstOfSlice = ({ query }: { query: URLSearchParams }) => {
    const start = query.get("range_start") ?? "";
    if (start === "" || started.has(start)) return false;
    started.add(start);
    return started.size % 2 === 0;
  };
  bench.api.fail(faults.emptyPage(), { times: 20, when: firstOfSlice });
  await bench.toHead();
  expect(bench.api.pendingFaults).toBeLessThan(20);
  await expectMirrored(bench.database.pool, bench.api.events);
});

test("an empty answer that was not true, and comes while the head is being cut, ends nothing", async () => {
  const [cutting, answered] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const around: MirrorSettings["around"] = ({ fetchPage, store }) => ({
    fetchPage: async (...asked) => {
      const page = await fetchPage(...asked);
      if (page.received > 0) return page;
      await cutting.promise;
      setImmediate(answered.resolve);
      return page;
    },
    store: {
      ...store,
      splitCursor: async (...cut) => {
        cutting.resolve();
        await answered.promise;
        return store.splitCursor(...cut);
      },
    },
  });
  // a head that has seen nothing would go back to where history ended
  const recent = generateEvents({ seed: 2, count: 5, from: NOW - 300_000, to: NOW });
  const events = [...history(300, { days: 20, endsDaysAgo: 1 }), ...recent];
  await using bench = await setUp({ events }, { sinceDays: 21, around });
  bench.api.fail(faults.emptyPage(), { when: ({ query }) => query.has("after") });
  do await expectReadIsStored(bench);
  while (!(await bench.step()).rest);
  await expectMirrored(bench.database.pool, bench.api.events);
});

test("records one gap, and no more, for what the API forgets while it is read in slices", async () => {
  await using bench = await setUp({ events: history(2_000), staleStart: "refuse" }, { sinceDays: 89 });
  for (let steps = 0; steps < 10; steps += 1) await bench.step();
  bench.api.options.now = () => NOW + 20 * DAY;
  await bench.toHead();
  const { rows } = await bench.database.pool.query<{ range_start: Date; range_end: Date }>(
    "select range_start, range_end from workos.gaps order by range_start",
  );
  expect(rows.length).toBeGreaterThan(0);
  const isLost = ({ timeMs }: SimulatedEvent) =>
    rows.some(({ range_start, range_end }) => timeMs >= Number(range_start) && timeMs < Number(range_end));
  const { rows: stored } = await bench.database.pool.query<{ id: string }>("select id from workos.events");
  const ids = new Set(stored.map(({ id }) => id));
  expect(bench.api.events.filter((event) => !ids.has(event.id) && !isLost(event))).toEqual([]);
  expect(rows.every(({ range_end }) => Number(range_end) <= NOW - 70 * DAY + 120_000)).toBe(true);
});
