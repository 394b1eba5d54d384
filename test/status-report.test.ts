import { expect, test } from "vitest";
import type { Report } from "../src/postgres/report.ts";
import { linesOf, statusOf } from "../src/status-report.ts";
import { setUp } from "./support/bench.ts";

const now = "2026-11-20T12:00:00.000000Z";
const empty: Report = { cursors: [], events: 0, last_event: null, quarantined_events: 0, gaps: 0 };

type Row = Report["cursors"][number];

function head(more: Partial<Row> = {}): Row {
  const at = "2026-11-20T11:59:59.000000Z";
  const row = { environment: "default", filter: "*", after: "event_9", at, updated_at: now };
  return { ...row, range_start: null, range_end: null, started_at: "2026-11-20T11:00:00.000000Z", ...more };
}

/** A slice of one day of October that was read up to an hour of it, begun an hour ago. */
function slice(day: number, hours: number, more: Partial<Row> = {}): Row {
  const atHour = (hour: number) => new Date(Date.UTC(2026, 9, day, hour)).toISOString().replace("Z", "000Z");
  return head({ after: null, at: atHour(hours), range_start: atHour(0), range_end: atHour(24), ...more });
}

const lines = (report: Report) => linesOf(statusOf(report, now));

test("says that nothing was mirrored yet", () => {
  expect(statusOf(empty, now)).toEqual({ ...empty, history: [] });
  expect(lines(empty)).toEqual([
    "events       0",
    "last stored  none",
    "quarantined  0",
    "gaps         0",
    "cursors      none: nothing was mirrored yet",
  ]);
});

test("one line for the cursor that follows the present, one for all slices of history together", () => {
  const cursors = [slice(1, 24), slice(2, 12), slice(3, 12), slice(4, 12), head()];
  const report = { ...empty, cursors, events: 12_345, quarantined_events: 2, gaps: 1 };
  expect(statusOf(report, now)).toEqual({
    ...report,
    history: [{ environment: "default", filter: "*", read: 0.625, seconds_left: 2160 }],
  });
  expect(lines(report)).toEqual([
    "events       about 12345",
    "last stored  none",
    "quarantined  2   see workos.quarantined_events",
    "gaps         1   see workos.gaps",
    "cursor       default *: after event_9 of 2026-11-20T11:59:59.000000Z, moved 2026-11-20T12:00:00.000000Z",
    "history      62 %, 36 minutes left",
  ]);
});

test("several mirrors have a line of history each, with their names; done slices are history, too", () => {
  const cursors = [
    slice(1, 24),
    head({ after: null }),
    slice(1, 0, { filter: "events=user.created" }),
    head({ filter: "events=user.created" }),
    head({ environment: "staging" }),
  ];
  const status = statusOf({ ...empty, cursors }, now);
  expect(status.history).toEqual([
    { environment: "default", filter: "*", read: 1, seconds_left: 0 },
    { environment: "default", filter: "events=user.created", read: 0, seconds_left: null },
  ]);
  expect(linesOf(status).slice(4)).toEqual([
    "cursor       default *: from 2026-11-20T11:59:59.000000Z, moved 2026-11-20T12:00:00.000000Z",
    "cursor       default events=user.created: after event_9 of 2026-11-20T11:59:59.000000Z, moved 2026-11-20T12:00:00.000000Z",
    "cursor       staging *: after event_9 of 2026-11-20T11:59:59.000000Z, moved 2026-11-20T12:00:00.000000Z",
    "history      default *: 100 %, 0 seconds left",
    "history      default events=user.created: 0 %",
  ]);
});

test("status tells how far history is, out of the tables alone", async () => {
  await using bench = await setUp(50);
  await bench.start(["sync"]).exit;
  await bench.database.pool.query(`
    insert into workos.cursors (environment, filter, at, range_start, range_end, started_at)
    select 'default', '*', day + interval '6 hours', day, day + interval '1 day', now() - interval '1 hour'
    from generate_series('2026-08-01 00:00Z', '2026-08-20 00:00Z', interval '1 day') as day`);
  const env = { WORKOS_API_KEY: "" };
  const [text, json] = [bench.start(["status"], env), bench.start(["status", "--json"], env)];
  expect([await text.exit, await json.exit]).toEqual([
    { code: 0, signal: null },
    { code: 0, signal: null },
  ]);
  expect(text.stdout.match(/^cursor /gm)).toHaveLength(1);
  expect(text.stdout).toMatch(/^history {6}25 %, 3 hours left$/m);
  const status = JSON.parse(json.stdout);
  expect(status.history).toEqual([
    { environment: "default", filter: "*", read: 0.25, seconds_left: expect.any(Number) },
  ]);
  expect(status.cursors).toHaveLength(21);
  expect(status.cursors[0]).toMatchObject({
    range_start: "2026-08-01T00:00:00.000000Z",
    range_end: "2026-08-02T00:00:00.000000Z",
    at: "2026-08-01T06:00:00.000000Z",
  });
  expect(status.cursors.at(-1)).toMatchObject({
    after: bench.api.events.at(-1)?.id,
    range_start: null,
    range_end: null,
  });
});
