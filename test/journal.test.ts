import { type Logger, pino } from "pino";
import { afterEach, expect, test, vi } from "vitest";
import { addMs, instantOf } from "../src/instant.ts";
import { Journal } from "../src/journal.ts";
import { Status } from "../src/status.ts";
import type { Step } from "../src/step.ts";
import { Trouble } from "../src/trouble.ts";

const DAY = 86_400_000;
const daysAgo = (days: number) => addMs(instantOf(Date.now()), -days * DAY);
const MINUTES = 60_000;
const down = new Trouble("no answer", { kind: "passing", code: "api_unreachable" });

interface Line {
  level: string;
  code?: string;
  msg: string;
  days?: number;
  history?: string;
}

function setUp() {
  const lines: Line[] = [];
  const format = { level: (label: string) => ({ level: label }) };
  const log: Logger = pino({ formatters: format }, { write: (text: string) => void lines.push(JSON.parse(text)) });
  const status = new Status({ version: "1", environment: "default", filter: "*" }, instantOf(Date.now()));
  const journal = new Journal(log, status, 1_000);
  let nowMs = 0;
  vi.spyOn(performance, "now").mockImplementation(() => nowMs);
  const failFor = (minutes: number, days: number) => {
    status.position = { at: daysAgo(days) };
    journal.failure({ trouble: down, failures: 1, waitMs: 1_000 });
    nowMs += minutes * MINUTES;
    journal.failure({ trouble: down, failures: 2, waitMs: 1_000 });
  };
  const failAt = (days: number) => failFor(5, days);
  return {
    journal,
    failAt,
    failFor,
    status,
    alarms: () => lines.filter(({ code }) => code === "unrecoverable_soon"),
    lines,
  };
}

afterEach(() => vi.restoreAllMocks());

function stepAt(days: number, more: Partial<Step> = {}): Step {
  return { rest: true, atHead: true, position: { after: "event_1", at: daysAgo(days) }, news: [], ...more };
}

test("warns once when half of the API's retention has passed without success, and loudly near its end", () => {
  const { failAt, alarms } = setUp();
  failAt(44);
  expect(alarms()).toEqual([]);
  failAt(45.5);
  failAt(46);
  expect(alarms()).toEqual([expect.objectContaining({ level: "warn", days: 44 })]);
  failAt(72.5);
  failAt(80);
  expect(alarms().slice(1)).toEqual([expect.objectContaining({ level: "error", days: 17 })]);
});

test("a first catch-up through old history is no alarm, not even when the API answers 429 now and then", () => {
  const { journal, failFor, alarms } = setUp();
  for (let round = 0; round < 9; round += 1) {
    journal.step(stepAt(89, { rest: false, atHead: false }));
    failFor(1, 89);
  }
  expect(alarms()).toEqual([]);
});

test("after a recovery the next alarm counts anew", () => {
  const { journal, failAt, alarms } = setUp();
  failAt(50);
  expect(alarms()).toHaveLength(1);
  journal.step(stepAt(0, { atHead: false }));
  failAt(0);
  expect(alarms()).toHaveLength(1);
  failAt(50);
  expect(alarms()).toHaveLength(2);
});

test("tells of history how much of it is read, and how long the rest takes", () => {
  const { journal, lines } = setUp();
  const saved = { inserted: new Map([["user.created", 3]]), updated: 0, quarantined: 0, pages: 1, gaps: 0, late: 0 };
  const history = { share: 0.63, secondsLeft: 41 * 60 };
  journal.step(stepAt(30, { rest: false, atHead: false, saved, history }));
  journal.stop();
  expect(lines).toEqual([expect.objectContaining({ msg: "catching up", history: "63 %, 41 minutes left" })]);
});

test("trouble of one slice is not over because another one is read", () => {
  const { journal, lines, status } = setUp();
  const failure = { trouble: down, failures: 1, waitMs: 1_000 };
  const reading = { rest: false, atHead: false };
  for (let round = 0; round < 5; round += 1) {
    journal.failure(failure);
    journal.step(stepAt(0, { ...reading, isFailing: true }));
  }
  expect(status.state).toBe("failing");
  expect(lines.map(({ msg }) => msg)).toEqual(["failing: no answer"]);
  journal.step(stepAt(0, reading));
  expect(status.state).toBe("catching_up");
  expect(lines.at(-1)?.msg).toBe("recovered");
});

test("a standby tells nothing of how far the one that mirrors is", () => {
  const { journal, status } = setUp();
  journal.step(stepAt(0));
  journal.standingBy();
  const now = instantOf(Date.now());
  expect([status.position, status.lagSeconds(now), status.unrecoverableInSeconds(now)]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
});
