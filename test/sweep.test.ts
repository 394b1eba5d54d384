import { expect, test } from "vitest";
import type { Step } from "../src/step.ts";
import { setUp } from "./support/bench.ts";
import { DAY, MirrorBench } from "./support/mirror-bench.ts";
import { expectMirrored } from "./support/mirrored.ts";
import type { SimulatedApiOptions } from "./support/simulated-api.ts";
import { generateEvents } from "./support/simulated-events.ts";

const NOW = Date.parse("2026-11-20T12:00:00Z");
const MINUTE = 60_000;

/** A mirror at the head, whose last event happened a moment ago. It sweeps whenever it reaches the head. */
async function atHead(api: SimulatedApiOptions = {}, sweep = { intervalMs: 0, windowMs: 15 * MINUTE }) {
  const events = generateEvents({ seed: 1, count: 300, from: NOW - 2 * DAY, to: NOW - 1000 });
  const bench = await MirrorBench.setUp({ now: () => NOW, events, ...api }, { sinceDays: 10, sweep });
  await bench.toHead();
  return bench;
}

/** Until a sweep has come to its end, whatever it was that began it. */
async function sweepOnce(bench: MirrorBench): Promise<Step[]> {
  const steps: Step[] = [];
  do steps.push(await bench.step());
  while (steps.at(-1)?.rest === false && steps.length < 20);
  return steps;
}

const lateOf = (steps: readonly Step[]) => steps.reduce((sum, { saved }) => sum + (saved?.late ?? 0), 0);
const newsOf = (steps: readonly Step[]) => steps.flatMap(({ news }) => news);

test("an event that turns up behind the cursor is stored, counted and told", async () => {
  await using bench = await atHead();
  const late = bench.api.insertLate(NOW - 10 * MINUTE);
  const before = await bench.database.pool.query("select max(seq)::int as seq from workos.events");
  const steps: Step[] = [];
  while (lateOf(steps) === 0) steps.push(...(await sweepOnce(bench)));
  expect(newsOf(steps)).toEqual([
    expect.objectContaining({ level: "warn", code: "late_events", fields: expect.objectContaining({ count: 1 }) }),
  ]);
  await expectMirrored(bench.database.pool, bench.api.events);
  const after = await bench.database.pool.query("select id, seq::int from workos.events order by seq desc limit 1");
  expect(after.rows).toEqual([{ id: late.id, seq: before.rows[0].seq + 1 }]);
});

test("a sweep that finds nothing writes nothing, and moves no cursor", async () => {
  await using bench = await atHead();
  const traces = async () => {
    const events = await bench.database.pool.query("select id, xmin, xmax, seq from workos.events order by seq");
    const cursors = await bench.database.pool.query("select *, xmin from workos.cursors");
    return [events.rows, cursors.rows];
  };
  const before = await traces();
  const requests = bench.api.requests.length;
  expect(newsOf(await sweepOnce(bench))).toEqual([]);
  expect(bench.api.requests.slice(requests).some(({ query }) => query.has("range_start"))).toBe(true);
  expect(await traces()).toEqual(before);
});

test("whatever turns up within the window is found, however the sweeps happen to lie", async () => {
  await using bench = await atHead();
  for (let minute = 1; minute < 60; minute += 7) {
    bench.api.options.now = () => NOW + minute * MINUTE;
    bench.api.emit(1);
    bench.api.insertLate(NOW + (minute - 14.9) * MINUTE);
    await sweepOnce(bench);
  }
  await sweepOnce(bench);
  await expectMirrored(bench.database.pool, bench.api.events);
});

test("what turned up since the last sweep of a mirror before this one is found", async () => {
  await using bench = await atHead({}, { intervalMs: 10 * MINUTE, windowMs: 15 * MINUTE });
  await sweepOnce(bench); // the next one is not due
  bench.api.insertLate(NOW - 12 * MINUTE);
  bench.api.options.now = () => NOW + 8 * MINUTE;
  bench.api.emit(1);
  await bench.toHead();
  const restarted = bench.restart();
  await sweepOnce(restarted);
  await restarted.kill();
  await expectMirrored(bench.database.pool, bench.api.events);
});

test.each(["the same", "another"])(
  "what turned up behind the head while history was read, %s mirror finds when that is done",
  async (which) => {
    const old = generateEvents({ seed: 1, count: 3_000, from: NOW - 80 * DAY, to: NOW - DAY });
    // more than the last page of history holds
    const young = generateEvents({ seed: 2, count: 50, from: NOW - 9 * MINUTE, to: NOW - 6 * MINUTE });
    const events = [...old, ...young];
    const sweep = { intervalMs: 10 * MINUTE, windowMs: 15 * MINUTE };
    const api = { now: () => NOW, events, latencyMs: 20 };
    await using bench = await MirrorBench.setUp(api, { sweep, concurrency: 4, pageSize: 10, pollIntervalMs: 1 });
    const headReaches = async (id: string | undefined) => {
      for (;;) {
        const { rows } = await bench.database.pool.query("select after from workos.cursors order by range_end desc");
        if (rows.length > 1 && rows[0].after === id) return;
        expect(await bench.step()).toMatchObject({ rest: false });
      }
    };
    await headReaches(bench.api.emit(1).at(-1)?.id);
    bench.api.insertLate(NOW - 5 * MINUTE);
    bench.api.options.now = () => NOW + 60 * MINUTE; // as long as it takes
    await headReaches(bench.api.emit(1).at(-1)?.id);
    const mirror = which === "the same" ? bench : bench.restart();
    for (let isDone = false; !isDone; isDone = (await mirror.step()).atHead);
    await sweepOnce(mirror);
    if (mirror !== bench) await mirror.kill();
    await expectMirrored(bench.database.pool, bench.api.events);
  },
);

test("a sweep that was broken off is made again, however far away the next one is", async () => {
  const events = generateEvents({ seed: 1, count: 300, from: NOW - 2 * DAY, to: NOW - 1000 });
  const sweep = { intervalMs: 3_600_000, windowMs: 15 * MINUTE };
  await using bench = await MirrorBench.setUp({ now: () => NOW, events }, { sinceDays: 10, sweep });
  await bench.toHead(); // nothing to sweep yet: the cursor is new
  bench.api.insertLate(NOW - 10 * MINUTE);
  await bench.database.pool.query("alter table workos.events rename to hidden");
  await expect(sweepOnce(bench)).rejects.toMatchObject({ code: "postgres_refused" });
  await bench.database.pool.query("alter table workos.hidden rename to events");
  await sweepOnce(bench);
  await expectMirrored(bench.database.pool, bench.api.events);
});

test("after a restart, the first sweep begins before what was mirrored last", async () => {
  await using bench = await atHead({}, { intervalMs: 3_600_000, windowMs: 15 * MINUTE });
  await sweepOnce(bench);
  bench.api.insertLate(NOW - 10 * MINUTE);
  bench.api.options.now = () => NOW + 300 * MINUTE;
  const restarted = bench.restart();
  await sweepOnce(restarted);
  await restarted.kill();
  await expectMirrored(bench.database.pool, bench.api.events);
});

test("without sweeps, nothing is asked for twice", async () => {
  await using bench = await MirrorBench.setUp({ now: () => NOW, events: [] }, { sinceDays: 10 });
  await bench.toHead();
  bench.api.emit(3);
  await bench.toHead();
  const late = bench.api.insertLate(NOW - 10 * MINUTE);
  await bench.toHead();
  const { rows } = await bench.database.pool.query("select id from workos.events where id = $1", [late.id]);
  expect(rows).toEqual([]);
});

test("the daemon sweeps beside its polls, and tells of what it found in the log and in the metrics", async () => {
  await using bench = await setUp(50);
  const mirror = bench.run({ SWEEP_INTERVAL: "1s", HTTP_PORT: "0" });
  await mirror.says("caught up");
  const [live] = bench.api.emit(1);
  await mirror.line(({ msg, cursor }) => msg === "stored" && cursor === live?.id);
  const late = bench.api.insertLate(Date.now() - 5 * MINUTE);
  const told = await mirror.says("events had turned up behind the cursor");
  expect(told).toMatchObject({ level: "warn", code: "late_events", count: 1 });
  const metrics = await (await fetch(`${await mirror.http()}/metrics`)).text();
  expect(metrics).toMatch(/^workos_mirror_late_events_total 1$/m);
  const { rows } = await bench.database.pool.query("select count(*)::int from workos.events where id = $1", [late.id]);
  expect(rows).toEqual([{ count: 1 }]);
  expect(mirror.log.filter(({ msg }) => msg.startsWith("caught up"))).toHaveLength(1);
  expect(await mirror.stop()).toEqual({ code: 0, signal: null });
});
