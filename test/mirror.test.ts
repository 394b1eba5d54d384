import { expect, onTestFinished, test, vi } from "vitest";
import type { CursorKey } from "../src/event.ts";
import type { MirrorParts } from "../src/mirror.ts";
import type { Step } from "../src/step.ts";
import { Trouble } from "../src/trouble.ts";
import { DAY, MirrorBench, type MirrorSettings } from "./support/mirror-bench.ts";
import { expectMirrored } from "./support/mirrored.ts";
import { faults, type SimulatedApiOptions } from "./support/simulated-api.ts";
import { generateEvents, type SimulatedEvent } from "./support/simulated-events.ts";

/** The API's present in these tests. That it is not this machine's is one of the things that are tested. */
const NOW = Date.parse("2026-11-20T12:00:00Z");

test("reads ninety days and has every event once, without a request that does not say order=asc", async () => {
  await using bench = await setUp({ events: history({ fromDaysAgo: 89, count: 450 }) });
  await bench.toHead();
  await expectMirrored(bench.database.pool, bench.api.events);
  expect(bench.api.requests.filter(({ query }) => query.get("order") !== "asc")).toEqual([]);
});

test("crosses an empty month, though the API looks no further than thirty days at a time", async () => {
  const events = [
    ...history({ fromDaysAgo: 89, days: 1, count: 20 }),
    ...history({ fromDaysAgo: 2, count: 20, seed: 2 }),
  ];
  await using bench = await setUp({ events });
  await bench.toHead();
  await expectMirrored(bench.database.pool, events);
});

test("loses nothing when the API looks only at the last thirty days behind a cursor, dense as the history may be", async () => {
  const dense = history({ fromDaysAgo: 70, days: 0.01, count: 450, seed: 2 });
  const events = [
    ...history({ fromDaysAgo: 89, days: 18, count: 300 }),
    ...dense,
    ...history({ fromDaysAgo: 69, count: 900, seed: 3 }),
  ];
  await using bench = await setUp({ events, cursorWindow: "present" });
  await bench.toHead();
  await expectMirrored(bench.database.pool, events);
  bench.api.emit(3);
  await bench.toHead();
  await expectMirrored(bench.database.pool, bench.api.events);
});

test("gets through an instant that holds more events than a page, old or new", async () => {
  const instant = (daysAgo: number, seed: number) =>
    generateEvents({ seed, count: 250, from: NOW - daysAgo * DAY, to: NOW - daysAgo * DAY + 1 });
  const events = [...instant(60, 2), ...history({ fromDaysAgo: 50, count: 150 }), ...instant(0.1, 3)];
  await using bench = await setUp({ events: events.toSorted((a, b) => a.timeMs - b.timeMs) });
  await bench.toHead();
  await expectMirrored(bench.database.pool, events);
});

test.each([70, 40, 31])(
  "an instant of %i days ago with more events than a page, in an API that ignores old cursors, is a gap",
  async (days) => {
    const at = NOW - days * DAY;
    const instant = generateEvents({ seed: 2, count: 25, from: at, to: at + 1 });
    const rest = [
      ...history({ fromDaysAgo: 80, days: 9, count: 60 }),
      ...history({ fromDaysAgo: 69, count: 240, seed: 3 }),
    ];
    const events = [...instant, ...rest].toSorted((a, b) => a.timeMs - b.timeMs);
    await using bench = await setUp({ events, cursorWindow: "present", pageSize: 10 });
    const steps = await bench.toHead();
    const { rows } = await bench.database.pool.query<{ id: string }>("select id from workos.events");
    const stored = new Set(rows.map(({ id }) => id));
    expect(rest.filter(({ id }) => !stored.has(id))).toEqual([]);
    expect(newsCodes(steps)).toContain("gap");
    const [gap] = await gaps(bench);
    expect([Number(gap?.range_start), Number(gap?.range_end)]).toEqual([at, at + 1]);
  },
);

test("each of two crowded instants that can't be read is a gap, though their pages are saved together", async () => {
  const crowded = [70, 69.9].map((days, seed) =>
    generateEvents({ seed, count: 25, from: NOW - days * DAY, to: NOW - days * DAY + 1 }),
  );
  const events = [...crowded.flat(), ...history({ fromDaysAgo: 60, count: 30, seed: 3 })];
  await using bench = await setUp({ events, cursorWindow: "present", pageSize: 10 });
  await bench.toHead();
  expect((await gaps(bench)).map(({ range_start: start }) => Number(start))).toEqual(
    [70, 69.9].map((days) => NOW - days * DAY),
  );
});

test("goes by the API's clock behind an old cursor, though this machine's is days behind", async () => {
  const events = generateEvents({ count: 60, from: NOW - 40 * DAY, to: NOW - 32 * DAY });
  await using bench = await setUp({ events, cursorWindow: "present" });
  bench.api.options.now = () => NOW - 32 * DAY;
  await bench.toHead();
  bench.api.emit(generateEvents({ seed: 2, count: 400, from: NOW - 32 * DAY + 1000, to: NOW }));
  bench.api.options.now = () => NOW;
  const woken = bench.restart({ ownClock: () => NOW - 5 * DAY });
  await woken.toHead();
  await woken.kill();
  await expectMirrored(bench.database.pool, bench.api.events);
});

test("passes over nothing that the API has forgotten by its own clock alone, and says why", async () => {
  const events = generateEvents({ count: 60, from: NOW - 100 * DAY, to: NOW - 92 * DAY });
  await using bench = await setUp({ events });
  bench.api.options.now = () => NOW - 92 * DAY;
  await bench.toHead();
  const before = await position(bench);
  bench.api.emit(generateEvents({ seed: 2, count: 400, from: NOW - 92 * DAY + 1000, to: NOW }));
  bench.api.options.now = () => NOW;
  const woken = bench.restart({ ownClock: () => NOW - 5 * DAY });
  await expect(woken.toHead()).rejects.toMatchObject({ kind: "passing", code: "clocks_disagree" });
  expect(await position(bench)).toEqual(before);
  await woken.kill();
});

test("goes on where it stopped after thirty quiet days and more", async () => {
  await using bench = await setUp({ events: history({ fromDaysAgo: 10, days: 1, count: 5 }) });
  await bench.toHead();
  bench.api.options.now = () => NOW + 70 * DAY;
  const [late] = bench.api.emit(1);
  await bench.toHead();
  await expectMirrored(bench.database.pool, bench.api.events);
  expect(late).toBeDefined();
  expect(await gaps(bench)).toEqual([]);
});

test("does not skip a window because of one empty answer that was not true", async () => {
  await using bench = await setUp({ events: history({ fromDaysAgo: 80, count: 300 }) });
  bench.api.fail(faults.emptyPage(), { when: ({ query }) => query.get("range_end") !== null });
  await bench.toHead();
  expect(bench.api.pendingFaults).toBe(0);
  await expectMirrored(bench.database.pool, bench.api.events);
});

test("asks for no page twice, and for none behind one that the API says is the last", async () => {
  await using bench = await setUp({ events: history({ fromDaysAgo: 5, count: 350 }), sinceDays: 10 });
  await bench.toHead();
  const asked = bench.api.requests.map(({ query }) => query.get("after") ?? query.get("range_start"));
  expect(new Set(asked).size).toBe(asked.length);
  expect(asked).toHaveLength(4);
});

test("throws away what was read ahead when a write fails, and reads again from the stored cursor", async () => {
  await using bench = await setUp({ events: history({ fromDaysAgo: 5, count: 350 }), sinceDays: 10, pageSize: 10 });
  await bench.step();
  await bench.database.pool.query("alter table workos.events rename to hidden");
  await expect(bench.step()).rejects.toMatchObject({ name: "Trouble", code: "postgres_refused" });
  await bench.database.pool.query("alter table workos.hidden rename to events");
  await bench.toHead();
  await expectMirrored(bench.database.pool, bench.api.events);
});

test("says so and goes on by time when the API no longer knows the cursor", async () => {
  await using bench = await setUp({ events: history({ fromDaysAgo: 5, count: 30 }) });
  await bench.toHead();
  await bench.database.pool.query("update workos.cursors set after = 'event_forgotten'");
  bench.api.emit(5);
  const steps = await bench.toHead();
  expect(newsCodes(steps)).toEqual(["cursor_rejected"]);
  await expectMirrored(bench.database.pool, bench.api.events);
});

test("a way around the cursor that fails is a failure, to be backed off from, and is told once it has led somewhere", async () => {
  await using bench = await setUp({ events: history({ fromDaysAgo: 5, count: 30 }), sinceDays: 10 });
  await bench.toHead();
  await bench.database.pool.query("update workos.cursors set after = 'event_forgotten'");
  bench.api.fail(faults.serverError(), { times: 2, when: ({ query }) => query.has("range_start") });
  await expect(bench.step()).rejects.toMatchObject({ kind: "passing", code: "api_failing" });
  await expect(bench.step()).rejects.toMatchObject({ kind: "passing", code: "api_failing" });
  expect(newsCodes(await bench.toHead())).toEqual(["cursor_rejected"]);
});

test("tells once that the cursor was given up, however often it is before anything can be written", async () => {
  let isAway = false;
  const around = ({ store }: MirrorParts): Partial<MirrorParts> => ({
    store: {
      ...store,
      savePages: (key, saves) => {
        if (isAway) throw new Trouble("Postgres: away", { kind: "passing", code: "postgres_failing" });
        return store.savePages(key, saves);
      },
    },
  });
  await using bench = await setUp({ events: history({ fromDaysAgo: 5, count: 30 }), around });
  await bench.toHead();
  await bench.database.pool.query("update workos.cursors set after = 'event_forgotten'");
  isAway = true;
  for (let failure = 0; failure < 5; failure += 1) await expect(bench.step()).rejects.toThrow("Postgres: away");
  isAway = false;
  expect(newsCodes(await bench.toHead())).toEqual(["cursor_rejected"]);
});

test("tells what was written, though another writer kept the rest of the step from being written", async () => {
  let isFirst = true;
  const around = ({ store }: MirrorParts): Partial<MirrorParts> => ({
    store: {
      ...store,
      savePages: async (key, saves) => {
        const answers = await store.savePages(key, saves);
        const told = isFirst ? answers.map((answer) => ({ ...answer, moved: false })) : answers;
        isFirst = false;
        return told;
      },
    },
  });
  await using bench = await setUp({ events: [], sinceDays: 10, around });
  bench.api.emitRaw('{"object":"event","event":"user.created","created_at":"2026-11-20T11:59:59Z","data":{}}');
  bench.api.emit(3);
  const steps = await bench.toHead();
  expect(newsCodes(steps)).toEqual(["quarantined", "cursor_moved"]);
  const { inserted = new Map<string, number>(), quarantined } = steps[0]?.saved ?? {};
  expect([[...inserted.values()].reduce((sum, count) => sum + count, 0), quarantined]).toEqual([3, 1]);
});

test("gets through a crowded instant, though the API's pages hold fewer events than were asked for", async () => {
  const at = NOW - 60 * DAY;
  const instant = generateEvents({ seed: 2, count: 25, from: at, to: at + 1 });
  const around = ({ fetchPage }: MirrorParts): Partial<MirrorParts> => ({
    fetchPage: async (request, signal) => ({ ...(await fetchPage(request, signal)), full: false }),
  });
  await using bench = await setUp({
    events: [...instant, ...history({ fromDaysAgo: 50, count: 40 })],
    pageSize: 10,
    around,
  });
  await bench.toHead();
  await expectMirrored(bench.database.pool, bench.api.events);
});

test("starts, though the API's clock jumps from answer to answer", async () => {
  await using bench = await setUp({
    events: history({ fromDaysAgo: 5, count: 30 }),
    sinceDays: 10,
    ownClock: () => NOW,
  });
  bench.api.options.now = () => NOW + (bench.api.requests.length % 2) * 10_000;
  const steps = await bench.toHead();
  expect(newsCodes(steps).filter((code) => code === "clock_differs").length).toBeLessThanOrEqual(1);
  await expectMirrored(bench.database.pool, bench.api.events);
});

test("notices an API that ignores a cursor it does not know and answers from the beginning", async () => {
  await using bench = await setUp({ events: history({ fromDaysAgo: 40, count: 500 }), unknownCursor: "ignore" });
  await bench.toHead();
  await bench.database.pool.query("update workos.cursors set after = 'event_forgotten'");
  bench.api.emit(5);
  const steps = await bench.toHead();
  expect(newsCodes(steps)).toEqual(["cursor_rejected"]);
  await expectMirrored(bench.database.pool, bench.api.events);
});

test.each(["oldest", "refuse"] as const)(
  "records a gap when it was away for longer than the API keeps events (%s)",
  async (staleStart) => {
    await using bench = await setUp({ events: history({ fromDaysAgo: 5, count: 30 }), staleStart });
    await bench.toHead();
    const stopped = await position(bench);
    const later = NOW + 120 * DAY;
    bench.api.emit(generateEvents({ seed: 7, count: 600, from: NOW + DAY, to: later }));
    bench.api.options.now = () => later;
    const steps = await bench.toHead();

    expect(newsCodes(steps).filter((code) => code === "gap")).toEqual(["gap"]);
    const [gap, ...more] = await gaps(bench);
    expect(more).toEqual([]);
    expect(gap?.range_start).toEqual(new Date(stopped.at));
    const edge = later - 90 * DAY;
    expect(Number(gap?.range_end) - edge).toBeGreaterThanOrEqual(-1000);
    expect(Number(gap?.range_end) - edge).toBeLessThanOrEqual(61_000);
    const lost = ({ timeMs }: SimulatedEvent) => timeMs > Date.parse(stopped.at) && timeMs < Number(gap?.range_end);
    await expectMirrored(
      bench.database.pool,
      bench.api.events.filter((event) => !lost(event)),
    );
  },
);

test("opens no gap at a first start, whatever this machine's clock says", async () => {
  const events = history({ fromDaysAgo: 90, count: 90 });
  for (const staleStart of ["oldest", "refuse"] as const) {
    await using bench = await setUp({ events, staleStart });
    await bench.toHead();
    expect(await gaps(bench)).toEqual([]);
    const kept = events.filter(({ timeMs }) => timeMs > NOW - 90 * DAY + 3000);
    await expectMirrored(bench.database.pool, staleStart === "oldest" ? bench.api.keptEvents : kept);
  }
});

test("records as a gap what SYNC_SINCE asks for and the API has forgotten", async () => {
  await using bench = await setUp({ events: history({ fromDaysAgo: 5, count: 30 }), sinceDays: 200 });
  bench.api.options.now = () => NOW + bench.api.requests.length * 1000; // the edge moves on while one walks
  await bench.toHead();
  const recorded = await gaps(bench);
  expect(recorded).toHaveLength(1);
  expect(Number(recorded[0]?.range_end) - (NOW - 90 * DAY)).toBeLessThan(60_000);
  await expectMirrored(bench.database.pool, bench.api.events);
});

test.each(["refuse", "oldest"] as const)(
  "records as a gap what the API forgets in the middle of a walk (%s)",
  async (staleStart) => {
    const events = history({ fromDaysAgo: 89, count: 900 });
    await using bench = await setUp({ events, staleStart, sinceDays: 89, pageSize: 10 });
    await bench.step(); // some pages more were read by now
    bench.api.options.now = () => NOW + 30 * DAY;
    await bench.toHead();
    const recorded = await gaps(bench);
    expect(recorded).toHaveLength(1);
    const [gap] = recorded;
    const { rows } = await bench.database.pool.query<{ id: string }>("select id from workos.events");
    const stored = new Set(rows.map(({ id }) => id));
    // of the events of the gap's first instant, some may have been read
    const lost = ({ id, timeMs }: SimulatedEvent) =>
      timeMs < Number(gap?.range_end) &&
      (timeMs >= Number(gap?.range_start) + 1 || (timeMs >= Number(gap?.range_start) && !stored.has(id)));
    expect(events.filter(lost).length).toBeGreaterThan(50);
    await expectMirrored(
      bench.database.pool,
      events.filter((event) => !lost(event)),
    );
  },
);

test("begins by the API's clock when this machine's is wrong", async () => {
  for (const skewMs of [-3_600_000, 3_600_000]) {
    await using bench = await setUp({
      events: history({ fromDaysAgo: 20, count: 200 }),
      sinceDays: 10,
      ownClock: () => NOW + skewMs,
    });
    expect(newsCodes(await bench.toHead())).toEqual(["clock_differs"]);
    await expectMirrored(
      bench.database.pool,
      bench.api.events.filter(({ timeMs }) => timeMs >= NOW - 10 * DAY),
    );
    expect(await gaps(bench)).toEqual([]);
  }
});

test("moves no window by a clock that is days off, and says so", async () => {
  await using bench = await setUp({ events: history({ fromDaysAgo: 3, days: 1, count: 5 }), sinceDays: 10 });
  await bench.toHead();
  const before = await position(bench);
  const wrong = bench.restart({ ownClock: () => NOW });
  bench.api.options.now = () => NOW + 60 * DAY;
  await expect(wrong.toHead()).rejects.toMatchObject({ kind: "passing", code: "clocks_disagree" });
  expect(await position(bench)).toEqual(before);
  await wrong.kill();
});

test("goes by the API's clock when that is months behind this machine's", async () => {
  const events = history({ fromDaysAgo: 80, count: 300 });
  await using bench = await setUp({ events, ownClock: () => NOW + 100 * DAY });
  await bench.toHead();
  bench.api.emit(3);
  await bench.toHead();
  await expectMirrored(bench.database.pool, bench.api.events);
  expect(await gaps(bench)).toEqual([]);
});

test("begins where SYNC_SINCE says", async () => {
  await using bench = await setUp({ events: history({ fromDaysAgo: 20, count: 200 }), sinceDays: 10 });
  await bench.toHead();
  const wanted = bench.api.events.filter(({ timeMs }) => timeMs >= NOW - 10 * DAY);
  await expectMirrored(bench.database.pool, wanted);
});

test("an event type that is added to the filter brings its history along", async () => {
  const events = history({ fromDaysAgo: 20, count: 400 });
  await using bench = await setUp({ events, filter: { events: ["session.created"] } });
  await bench.toHead();
  const more = ["session.created", "user.created"];
  const restarted = bench.restart({ filter: { events: more } });
  await restarted.toHead();
  await restarted.kill();
  await expectMirrored(
    bench.database.pool,
    events.filter(({ event }) => more.includes(event)),
  );
});

test("mirrors only the organization that it is asked for", async () => {
  const events = history({ fromDaysAgo: 20, count: 400 });
  const organizationId = events.find((event) => event.organizationId !== null)?.organizationId ?? "";
  await using bench = await setUp({ events, filter: { organizationId } });
  await bench.toHead();
  await expectMirrored(
    bench.database.pool,
    events.filter((event) => event.organizationId === organizationId),
  );
});

test("spells the filter out where the API demands it, and drops what it rejects", async () => {
  const knownTypes = ["user.created", "session.created", "dsync.user.created"];
  const events = history({ fromDaysAgo: 20, count: 900 }).filter(({ event }) => knownTypes.includes(event));
  await using bench = await setUp({ events, filterRequired: true });
  bench.api.options.knownTypes = null;
  await bench.toHead();
  await expectMirrored(bench.database.pool, events);
  expect(bench.api.requests.at(-1)?.query.getAll("events[]")).toHaveLength(111);
});

test("keeps mirroring the others when the API rejects a type, and gets its history once it is accepted", async () => {
  const wanted = ["dsync.user.created", "session.created", "user.created"];
  const events = history({ fromDaysAgo: 20, count: 600 }).filter(({ event }) => wanted.includes(event));
  await using bench = await setUp({ events, filter: { events: wanted }, sinceDays: 25 });
  bench.api.options.knownTypes = ["session.created", "user.created"];
  const steps = await bench.toHead();
  expect(newsCodes(steps)).toEqual(["event_type_rejected"]);
  await expectMirrored(
    bench.database.pool,
    events.filter(({ event }) => event !== "dsync.user.created"),
  );

  bench.api.options.knownTypes = null;
  const restarted = bench.restart();
  await restarted.toHead();
  await restarted.kill();
  await expectMirrored(bench.database.pool, events);
});

test("stores what is wrong with one event in quarantine and goes on with the rest", async () => {
  await using bench = await setUp({ events: history({ fromDaysAgo: 5, count: 30 }) });
  const good = [...bench.api.events];
  bench.api.emitRaw('{"object":"event","event":"user.created","created_at":"2026-11-20T11:59:59Z","data":{}}');
  bench.api.emitRaw('{"object":"event","id":"event_x","event":"user.created","created_at":"tomorrow","data":{}}', {
    timeMs: NOW,
  });
  good.push(...bench.api.emit(3));
  await bench.toHead();
  await expectMirrored(bench.database.pool, good);
  const { rows } = await bench.database.pool.query("select reason, event_id from workos.quarantined_events order by 1");
  expect(rows).toEqual([
    { reason: "created_at is missing or not valid", event_id: "event_x" },
    { reason: "id is missing or not valid", event_id: null },
  ]);
});

test("an event without an id at the very end is told once and is no trouble", async () => {
  await using bench = await setUp({ events: history({ fromDaysAgo: 5, count: 30 }) });
  await bench.toHead();
  const good = [...bench.api.events];
  bench.api.emitRaw('{"object":"event","event":"user.created","created_at":"2026-11-20T11:59:59Z","data":{}}');
  expect(newsCodes(await bench.toHead())).toEqual(["quarantined"]);
  expect(newsCodes(await bench.toHead())).toEqual([]);
  good.push(...bench.api.emit(3));
  await bench.toHead();
  await expectMirrored(bench.database.pool, good);
});

test("an event from the year 9999 does not end the mirror", async () => {
  await using bench = await setUp({ events: history({ fromDaysAgo: 5, count: 30 }), sinceDays: 10, windowDays: null });
  const far =
    '{"object":"event","id":"event_far","event":"user.created","created_at":"9999-01-01T00:00:00Z","data":{}}';
  const early = bench.api.emitRaw(far, { timeMs: Date.parse("9999-01-01T00:00:00Z") });
  await bench.toHead();
  await expectMirrored(bench.database.pool, bench.api.events);
  bench.api.emit(generateEvents({ seed: 9, count: 3, from: NOW, to: NOW + 1000 }));
  expect(newsCodes(await bench.toHead())).toEqual([]);
  await expectMirrored(bench.database.pool, bench.api.events);
  expect(bench.api.events.at(-1)).toBe(early);
});

test.each([
  ["descending", faults.descending(), "page_not_ascending"],
  ["stuck", faults.stuck(), "page_without_progress"],
])("refuses a page that is %s as a whole and reads it again", async (_name, fault, code) => {
  await using bench = await setUp({ events: history({ fromDaysAgo: 5, count: 250 }), sinceDays: 10 });
  bench.api.fail(fault, { when: ({ query }) => query.get("after") !== null });
  await expect(bench.toHead()).rejects.toMatchObject({ kind: "passing", code });
  await expectMirrored(bench.database.pool, bench.api.events.slice(0, 100));
  await bench.toHead();
  await expectMirrored(bench.database.pool, bench.api.events);
});

test.each([
  ["duplicates", faults.duplicates()],
  ["overlap", faults.overlap({ by: 7 })],
])("is not confused by pages with %s", async (_name, fault) => {
  await using bench = await setUp({ events: history({ fromDaysAgo: 5, count: 450 }) });
  bench.api.fail(fault, { times: 4 });
  await bench.toHead();
  await expectMirrored(bench.database.pool, bench.api.events);
});

test("writes nothing at the head while nothing happens", async () => {
  await using bench = await setUp({ events: history({ fromDaysAgo: 5, count: 30 }) });
  await bench.toHead();
  const before = await bench.database.pool.query("select * from workos.cursors");
  const steps = await bench.toHead();
  expect(steps).toHaveLength(1);
  expect(steps[0]).not.toHaveProperty("saved");
  expect((await bench.database.pool.query("select * from workos.cursors")).rows).toEqual(before.rows);
});

test("at rest, reads its cursors once in several polls, and sees within five seconds what others made of them", async () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  onTestFinished(() => void vi.useRealTimers());
  let reads = 0;
  const around = ({ store }: MirrorParts) => {
    const readCursors = (key: CursorKey) => {
      reads += 1;
      return store.readCursors(key);
    };
    return { store: { ...store, readCursors } };
  };
  const events = history({ fromDaysAgo: 5, count: 30 });
  await using bench = await MirrorBench.setUp({ now: () => NOW, events }, { sinceDays: 10, around });
  for (let poll = 0; poll < 4; poll += 1) await bench.toHead();
  expect(reads).toBe(2); // once more after it has written
  await bench.database.pool.query("update workos.cursors set after = null, at = at - interval '1 day'");
  const asked = bench.api.requests.length;
  vi.advanceTimersByTime(5_000);
  await bench.toHead();
  expect(reads).toBe(3);
  expect(bench.api.requests.slice(asked).some(({ query }) => query.has("range_start"))).toBe(true);
});

test("two mirrors on one cursor lose nothing and store nothing twice", async () => {
  await using bench = await setUp({ events: history({ fromDaysAgo: 20, count: 900 }) });
  const other = bench.restart();
  await Promise.all([bench.toHead(), other.toHead()]);
  await other.kill();
  await expectMirrored(bench.database.pool, bench.api.events);
  const { rows } = await bench.database.pool.query("select count(distinct seq)::int as count from workos.events");
  expect(rows).toEqual([{ count: 900 }]);
});

test("a mirror that was asleep yields to the one that went on meanwhile", async () => {
  await using bench = await setUp({ events: history({ fromDaysAgo: 5, count: 350 }), sinceDays: 10 });
  await bench.step();
  const other = bench.restart();
  await other.toHead();
  await other.kill();
  const there = await position(bench);
  expect(await bench.step()).toMatchObject({ atHead: false, news: [{ code: "cursor_moved" }] });
  expect(await position(bench)).toEqual(there);
  expect(newsCodes(await bench.toHead())).toEqual([]);
  await expectMirrored(bench.database.pool, bench.api.events);
});

interface SetUp extends SimulatedApiOptions, MirrorSettings {}

async function setUp({
  filter,
  sinceDays,
  pageSize,
  concurrency,
  sweep,
  ownClock,
  around,
  ...api
}: SetUp): Promise<MirrorBench> {
  const given = { filter, sinceDays, pageSize, concurrency, sweep, ownClock, around };
  return MirrorBench.setUp({ now: () => NOW, ...api }, given);
}

async function position({ database }: MirrorBench): Promise<{ after: string | null; at: string }> {
  const { rows } = await database.pool.query("select after, at::text from workos.cursors");
  return rows[0];
}

async function gaps({ database }: MirrorBench): Promise<{ range_start: Date; range_end: Date }[]> {
  const { rows } = await database.pool.query("select range_start, range_end from workos.gaps order by id");
  return rows;
}

interface HistoryOptions {
  fromDaysAgo: number;
  days?: number;
  count: number;
  seed?: number;
}

function history({ fromDaysAgo, days = fromDaysAgo, count, seed = 1 }: HistoryOptions): SimulatedEvent[] {
  const from = NOW - fromDaysAgo * DAY;
  return generateEvents({ seed, count, from, to: from + days * DAY });
}

function newsCodes(steps: readonly Step[]): string[] {
  return steps.flatMap(({ news }) => news.map(({ code }) => code));
}
