import fc from "fast-check";
import { expect, test } from "vitest";
import type { EventPage, Position } from "../src/event.ts";
import { addMs, type Instant, msOf } from "../src/instant.ts";
import {
  endsBefore,
  nextWindow,
  oldestStart,
  positionBehind,
  requestFrom,
  retentionEdge,
  withoutCursor,
} from "../src/position.ts";

const DAY_MS = 86_400_000;
const NOW = "2026-08-20T12:00:00.000000Z";
const FILTER = { events: ["user.created"] };
const ago = (days: number, ms = 0) => addMs(NOW, ms - days * DAY_MS);

function pageThatEnds(end?: EventPage["end"]): EventPage {
  const page = { events: [], quarantined: [], received: 1, full: false, last: true, request: "/events", apiTime: NOW };
  const measured = { ...page, bytes: 0, tookMs: 0 };
  return end === undefined ? measured : { ...measured, end };
}

test("asks from the cursor where there is one, else from the time, and never for both", () => {
  expect(requestFrom({ after: "event_1", at: ago(1) }, FILTER, { now: NOW })).toEqual({
    filter: FILTER,
    from: { after: "event_1" },
  });
  expect(requestFrom({ at: ago(1) }, FILTER, { now: NOW })).toEqual({ filter: FILTER, from: { rangeStart: ago(1) } });
});

test("asks an old position by time, even behind a cursor, with both ends of the window spelled out", () => {
  expect(requestFrom({ after: "event_1", at: ago(80) }, {}, { now: NOW })).toEqual({
    filter: {},
    from: { rangeStart: ago(80, -1) },
    rangeEnd: ago(50),
  });
  expect(requestFrom({ after: "event_1", at: ago(80) }, {}, { now: NOW, byCursor: true })).toEqual({
    filter: {},
    from: { after: "event_1" },
    rangeEnd: ago(50),
  });
  expect([30, 30 + 1 / DAY_MS].map((days) => requestFrom({ at: ago(days) }, {}, { now: NOW }).rangeEnd)).toEqual([
    undefined,
    ago(0, -1),
  ]);
});

test("goes on behind a page's last event; one without a time keeps the time that is known", () => {
  const position = { after: "event_1", at: ago(2) };
  expect([
    positionBehind(pageThatEnds({ after: "event_9", at: ago(1) }), position),
    positionBehind(pageThatEnds({ after: "event_9" }), position),
    positionBehind(pageThatEnds(), position),
  ]).toEqual([{ after: "event_9", at: ago(1) }, { after: "event_9", at: ago(2) }, undefined]);
});

test("believes an empty answer to be the head only within 29 days, else moves on by a window without the cursor", () => {
  const moves = [80, 31, 30, 29 + 1 / DAY_MS, 29, 28, 0].map((days) =>
    nextWindow({ after: "event_1", at: ago(days) }, NOW),
  );
  expect(moves).toEqual([
    { at: ago(50, -1000) },
    { at: ago(7) },
    { at: ago(7) },
    { at: ago(7) },
    undefined,
    undefined,
    undefined,
  ]);
});

/** The ranges that are asked for, one after the other, while every answer is empty. */
function emptyWalk(start: Position): { from: number; to: number }[] {
  const ranges = [];
  for (let position: Position | undefined = start; position; position = nextWindow(position, NOW)) {
    const { from, rangeEnd } = requestFrom(position, {}, { now: NOW });
    const begin: number = msOf("rangeStart" in from ? from.rangeStart : position.at);
    const windowEnd = begin + 30 * DAY_MS;
    ranges.push({ from: begin, to: Math.min(rangeEnd === undefined ? windowEnd : msOf(rangeEnd), windowEnd) });
  }
  return ranges;
}

test("leaves no moment between its windows unasked, ends, and never jumps close to the present", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 400 * DAY_MS }), fc.boolean(), (ageMs, withCursor) => {
      const at = addMs(NOW, -ageMs);
      const ranges = emptyWalk(withCursor ? { after: "event_1", at } : { at });
      expect(msOf(at) - (ranges[0]?.from ?? 0)).toBeLessThanOrEqual(1);
      expect(ranges.slice(1).filter(({ from }, index) => from > (ranges[index]?.to ?? 0) - 999)).toEqual([]);
      expect(ranges.slice(1).filter(({ from }) => from > msOf(ago(7)))).toEqual([]);
      expect(ranges.at(-1)?.to).toBeGreaterThanOrEqual(msOf(NOW));
    }),
  );
});

test("goes on ten minutes earlier without a cursor that the API no longer knows", () => {
  expect(withoutCursor({ after: "event_1", at: "2026-08-20T12:00:00.123456Z" })).toEqual({
    at: "2026-08-20T11:50:00.123000Z",
  });
});

test("counts on events to be kept for 90 days, not a moment longer", () => {
  expect(retentionEdge(NOW)).toBe("2026-05-22T12:00:00.000000Z");
});

test("notices an answer that ends before its cursor, by more than a list's disorder may be", () => {
  const cursor = { after: "event_5", at: "2026-08-20T11:00:00.000000Z" };
  const ends = ["2026-08-20T10:58:59.999999Z", "2026-08-20T10:59:00.000000Z", cursor.at];
  expect([
    ...ends.map((at) => endsBefore(pageThatEnds({ after: "event_1", at }), cursor)),
    endsBefore(pageThatEnds({ after: "event_1" }), cursor),
    endsBefore(pageThatEnds(), cursor),
  ]).toEqual([true, false, false, false, false]);
});

/** An API that gives nothing before `edge`, and what it was asked on the way to the oldest start. */
async function findStart(refused: Instant, edge: Instant): Promise<{ start: Instant | undefined; asked: Instant[] }> {
  const asked: Instant[] = [];
  const start = await oldestStart(refused, NOW, async (candidate) => {
    asked.push(candidate);
    return candidate >= edge;
  });
  return { start, asked };
}

test("finds the documented 90 days with one question, or two when the clocks differ a little", async () => {
  expect(await findStart(ago(90), ago(90, 1500))).toEqual({ start: ago(90, 2000), asked: [ago(90, 2000)] });
  expect(await findStart(ago(200), ago(90, 30_000))).toEqual({
    start: ago(90, 60_000),
    asked: [ago(90, 2000), ago(90, 60_000)],
  });
});

test("finds any other edge to within a minute, in some twenty questions, none older than what was refused", async () => {
  const ages = fc.tuple(fc.integer({ min: 1, max: 90 * DAY_MS }), fc.integer({ min: 1, max: 90 * DAY_MS }));
  await fc.assert(
    fc.asyncProperty(ages, async (two) => {
      const refused = addMs(NOW, -Math.max(...two) - 1);
      const edge = addMs(NOW, -Math.min(...two));
      const { start = "", asked } = await findStart(refused, edge);
      expect([start >= edge, msOf(start) - msOf(edge) <= 60_000]).toEqual([true, true]);
      expect(asked.filter((candidate) => candidate <= refused || candidate > NOW)).toEqual([]);
      expect(asked.length).toBeLessThanOrEqual(20);
    }),
  );
});

test("says so when the API accepts no start at all", async () => {
  expect(await findStart(ago(100), ago(-1))).toEqual({
    start: undefined,
    asked: [ago(90, 2000), ago(90, 60_000), NOW],
  });
});
