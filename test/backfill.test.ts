import { expect, test } from "vitest";
import { Backfill } from "../src/backfill.ts";
import type { Store } from "../src/event.ts";
import { instantOf } from "../src/instant.ts";
import { createStore } from "../src/postgres/store.ts";
import { Trouble } from "../src/trouble.ts";
import { DAY, MirrorBench, partsFor } from "./support/mirror-bench.ts";
import { expectMirrored } from "./support/mirrored.ts";
import { generateEvents } from "./support/simulated-events.ts";
import { until } from "./support/wait.ts";

const NOW = Date.now();
const EVENTS = 120;

test("counts each event once, though every other page can't be saved at first", async () => {
  const events = generateEvents({ seed: 3, count: EVENTS, from: NOW - 20 * DAY, to: NOW - DAY });
  await using bench = await MirrorBench.setUp({ events });
  const { api, database } = bench;
  const store = createStore(database.pool);
  let saves = 0;
  const saveEvents: Store["saveEvents"] = async (environment, page) => {
    saves += 1;
    // so that the next step has many pages
    if (saves === 1) await until(async () => api.requests.length > 8 || undefined, "pages ahead");
    if (saves % 2 === 0) throw new Trouble("Postgres: away", { kind: "passing", code: "postgres_failing" });
    return store.saveEvents(environment, page);
  };
  const parts = { ...partsFor(api, { filter: {}, pageSize: 10, concurrency: 1 }), environment: "default" };
  const backfill = new Backfill({ ...parts, store: { saveEvents } }, instantOf(NOW - 21 * DAY), instantOf(NOW));
  const failures: unknown[] = [];
  const step = async () => (await backfill.step(new AbortController().signal)).rest;
  for (let rest = false; !rest; ) rest = await step().catch((error: unknown) => failures.push(error) < 0);
  expect(failures.length).toBeGreaterThan(8);
  expect(backfill.report).toEqual({ read: EVENTS, new: EVENTS, changed: 0, unchanged: 0, quarantined: 0 });
  await expectMirrored(database.pool, api.events);
});

test("tells of what the API does not give of a crowded instant, though the page can't be saved at first", async () => {
  const at = NOW - 40 * DAY;
  const events = [
    ...generateEvents({ seed: 2, count: 25, from: at, to: at + 1 }),
    ...generateEvents({ seed: 3, count: 30, from: NOW - 20 * DAY, to: NOW - DAY }),
  ];
  await using bench = await MirrorBench.setUp({ events, cursorWindow: "present" });
  const store = createStore(bench.database.pool);
  let isAway = true;
  const saveEvents: Store["saveEvents"] = async (environment, page) => {
    if (isAway) throw new Trouble("Postgres: away", { kind: "passing", code: "postgres_failing" });
    return store.saveEvents(environment, page);
  };
  const parts = { ...partsFor(bench.api, { filter: {}, pageSize: 10, concurrency: 1 }), environment: "default" };
  const backfill = new Backfill({ ...parts, store: { saveEvents } }, instantOf(NOW - 41 * DAY), instantOf(NOW));
  const codes: (string | undefined)[] = [];
  for (let rest = false; !rest; isAway = !isAway) {
    rest = await backfill.step(new AbortController().signal).then(
      (step) => {
        codes.push(...step.news.map(({ code }) => code));
        return step.rest;
      },
      () => false,
    );
  }
  expect(codes).toEqual(["unreadable"]);
});
