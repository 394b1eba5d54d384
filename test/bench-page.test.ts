import fc from "fast-check";
import { expect, test } from "vitest";
import { EventLog } from "../bench/api/event-log.ts";
import { pageOf } from "../bench/api/page.ts";
import { generateEvents } from "./support/simulated-events.ts";
import { EventList } from "./support/simulated-list.ts";
import { selectPage } from "./support/simulated-page.ts";
import { type ApiRules, parseQuery } from "./support/simulated-query.ts";

const now = Date.parse("2026-08-01T12:00:00Z");
const day = 86_400_000;
const rules: ApiRules = {
  now: () => now,
  holdBackMs: 0,
  windowDays: 30,
  cursorWindow: "cursor",
  retentionDays: 90,
  order: "honours",
  unknownCursor: "reject",
  staleStart: "oldest",
  filterRequired: false,
  knownTypes: null,
};
const events = generateEvents({ count: 12_000, from: now - 95 * day, to: now });
const list = new EventList(events);
const log = new EventLog();
for (const event of list.events) log.append(event);

const kept = events.filter(({ timeMs }) => timeMs >= now - 90 * day);
const time = fc.integer({ min: now - 95 * day, max: now }).map((ms) => new Date(ms).toISOString());
const some = fc.constantFrom(...kept);
const maybe = { freq: 2, nil: undefined };
const query = fc.record({
  from: fc.option(
    fc.oneof(
      some.map(({ id }) => ({ after: id })),
      time.map((at) => ({ range_start: at })),
    ),
    maybe,
  ),
  rangeEnd: fc.option(time, maybe),
  limit: fc.integer({ min: 1, max: 100 }),
  types: fc.option(
    fc.array(
      some.map(({ event }) => event),
      { minLength: 1, maxLength: 5 },
    ),
    maybe,
  ),
});

test("the bench's API gives the pages that the simulated one gives", () => {
  fc.assert(
    fc.property(query, ({ from, rangeEnd, limit, types }) => {
      const asked = new URLSearchParams({ order: "asc", limit: String(limit), ...from });
      if (rangeEnd !== undefined) asked.set("range_end", rangeEnd);
      for (const type of types ?? []) asked.append("events[]", type);

      const page = pageOf(log, asked, now);
      const simulated = selectPage(list, parseQuery(asked, rules), rules);

      const body = JSON.parse(Buffer.concat(page.body).toString());
      expect(body.data).toEqual(simulated.events.map(({ text }) => JSON.parse(text)));
      expect(body.list_metadata.after).toBe(simulated.after);
      expect(page.events).toBe(simulated.events.length);
    }),
    { numRuns: 300 },
  );
});
