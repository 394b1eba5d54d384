import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { startHttp } from "../../src/http/server.ts";
import { STATES, type Status } from "../../src/status.ts";
import type { StepSaved } from "../../src/step.ts";
import { Trouble } from "../../src/trouble.ts";
import { type Served, serveHttp } from "../support/served-http.ts";

// Only Date stands still: what is served are ages.
const now = "2026-08-01T12:00:00.000000Z";
const minutesAgo = (minutes: number) => `2026-08-01T11:${String(60 - minutes).padStart(2, "0")}:00.000000Z`;
beforeEach(() => vi.useFakeTimers({ toFake: ["Date"], now: new Date("2026-08-01T12:00:00Z") }));
afterEach(() => vi.useRealTimers());

const serve = () => serveHttp(minutesAgo(30));

const wrongKey = new Trouble("GET /events: 401", {
  kind: "refused",
  code: "api_unauthorized",
  hint: "check WORKOS_API_KEY",
  requestId: "req_1",
});
const down = new Trouble("Postgres: connect ECONNREFUSED", { kind: "passing", code: "postgres_failing" });

/** A mirror that has stored a page, has failed since, and is reading again. */
function letMirror(status: Status): void {
  const saved: StepSaved = {
    inserted: new Map([
      ["user.created", 3],
      ['odd "type"', 1],
    ]),
    updated: 2,
    quarantined: 1,
    pages: 1,
    gaps: 1,
    late: 2,
  };
  status.migrated = true;
  status.stored(saved);
  const nothing = { updated: 0, quarantined: 0, pages: 1, gaps: 0, late: 0 };
  status.stored({ ...nothing, inserted: new Map([["user.created", 1]]) });
  const step = { rest: false, position: { after: "event_9", at: minutesAgo(20) }, news: [] };
  const history = { share: 0.25, secondsLeft: 90 };
  status.succeeded({ ...step, atHead: true }, minutesAgo(10));
  status.failed(wrongKey, 1, minutesAgo(9));
  status.failed(down, 2, minutesAgo(8));
  status.succeeded({ ...step, atHead: false, history }, minutesAgo(5));
  status.enter("catching_up", minutesAgo(5));
}

// ---- /livez -----------------------------------------------------------------------------------------------------

test("/livez: alive while the loop turns, in every state; not when it is stuck", async () => {
  await using http = await serve();
  const { status, answer } = http;
  expect(await answer("/livez")).toEqual([503, "the loop does not turn\n"]);
  for (const state of STATES) {
    status.enter(state, now);
    status.turned("2026-08-01T11:59:00.001000Z", 0);
    expect(await answer("/livez"), state).toEqual([200, "ok\n"]);
    status.turned("2026-08-01T11:59:00.000000Z", 0);
    expect(await answer("/livez"), state).toEqual([503, "the loop does not turn\n"]);
    // A rest that was announced is no silence.
    status.turned("2026-08-01T11:00:00.000000Z", 3_600_000);
    expect(await answer("/livez"), state).toEqual([200, "ok\n"]);
  }
});

// ---- /readyz ----------------------------------------------------------------------------------------------------

test("/readyz: ready when the last step was good or another replica mirrors, and says why it is not", async () => {
  await using http = await serve();
  const { status, answer } = http;
  const answers = async () => {
    const all: Record<string, unknown> = {};
    for (const state of STATES) {
      status.enter(state, now);
      all[state] = await answer("/readyz");
    }
    return all;
  };
  expect(await answer("/readyz")).toEqual([503, "starting: the database was not reached yet\n"]);
  status.migrated = true;
  status.failed(wrongKey, 1, now);
  expect(await answers()).toEqual({
    starting: [503, "starting: the first poll has not ended yet\n"],
    standing_by: [200, "ok\n"],
    catching_up: [200, "ok\n"],
    caught_up: [200, "ok\n"],
    failing: [503, "failing: GET /events: 401\n"],
    refused: [503, "refused: GET /events: 401\n"],
    stopping: [503, "stopping\n"],
  });
});

// ---- /status ----------------------------------------------------------------------------------------------------

test("/status tells all that is known at the start", async () => {
  await using http = await serve();
  const response = await http.ask("/status");
  expect(response.headers.get("content-type")).toBe("application/json");
  expect(response.headers.get("cache-control")).toBe("no-store");
  expect(await response.json()).toEqual({
    version: "1.2.3",
    environment: "production",
    filter: "*",
    state: "starting",
    since: minutesAgo(30),
    started_at: minutesAgo(30),
    position: null,
    history: null,
    caught_up_at: null,
    lag_seconds: null,
    unrecoverable_in_seconds: null,
    failures_in_a_row: 0,
    last_error: null,
    since_start: { events_inserted: 0, pages: 0, updated: 0, quarantined: 0, gaps: 0, late_events: 0, failures: 0 },
  });
});

test("/status tells position, lag, state and the last error with what to do", async () => {
  await using http = await serve();
  letMirror(http.status);
  expect(await (await http.ask("/status")).json()).toEqual({
    version: "1.2.3",
    environment: "production",
    filter: "*",
    state: "catching_up",
    since: minutesAgo(5),
    started_at: minutesAgo(30),
    position: { after: "event_9", at: minutesAgo(20) },
    history: { read: 0.25, seconds_left: 90 },
    caught_up_at: minutesAgo(10),
    lag_seconds: 600,
    unrecoverable_in_seconds: 90 * 86_400 - 600,
    failures_in_a_row: 0,
    last_error: {
      at: minutesAgo(8),
      code: "postgres_failing",
      message: "Postgres: connect ECONNREFUSED",
      what_to_do: null,
      request_id: null,
    },
    since_start: { events_inserted: 5, pages: 2, updated: 2, quarantined: 1, gaps: 1, late_events: 2, failures: 2 },
  });

  http.status.failed(wrongKey, 1, now);
  http.status.enter("refused", now);
  expect(await (await http.ask("/status")).json()).toMatchObject({
    state: "refused",
    since: now,
    failures_in_a_row: 1,
    last_error: {
      at: now,
      code: "api_unauthorized",
      message: "GET /events: 401",
      what_to_do: "check WORKOS_API_KEY",
      request_id: "req_1",
    },
  });
});

// ---- /metrics ---------------------------------------------------------------------------------------------------

interface Family {
  type: string;
  help: string;
  samples: Record<string, number>;
}

/** Reads the text format strictly: HELP and TYPE come first, and every sample belongs to the family above it. */
function parseMetrics(text: string): Record<string, Family> {
  const families: Record<string, Family> = {};
  let name = "";
  for (const line of text.split("\n").filter((each) => each !== "")) {
    const [, about, of = "", said = ""] = /^# (HELP|TYPE) (\w+) (.+)$/.exec(line) ?? [];
    if (about === "HELP") {
      if (of in families) throw new Error(`twice: ${of}`);
      name = of;
      families[name] = { help: said, type: "", samples: {} };
      continue;
    }
    const family = families[name];
    if (family === undefined) throw new Error(`nothing is said of: ${line}`);
    if (about === "TYPE" && of === name) {
      family.type = said;
      continue;
    }
    const [, sample = "", suffix, labels = "", value] =
      /^(\w+?)(_bucket|_sum|_count)?(\{(?:\w+="(?:[^"\\\n]|\\["\\n])*",?)*\})? (\S+)$/.exec(line) ?? [];
    const belongs = sample === name ? suffix === undefined || family.type !== "gauge" : `${sample}${suffix}` === name;
    if (!belongs || !/^(\+Inf|nan|[\d.e+-]+)$/i.test(value ?? "")) throw new Error(`no sample of ${name}: ${line}`);
    family.samples[`${suffix ?? ""}${labels}`] = Number(value);
  }
  return families;
}

const PREFIX = "workos_mirror_";

/** The samples of the metrics of ours, by name without the prefix. */
async function samplesOf({ ask }: Served): Promise<Record<string, Family["samples"]>> {
  const families = parseMetrics(await (await ask("/metrics")).text());
  return Object.fromEntries(
    Object.entries(families)
      .filter(([name]) => name.startsWith(PREFIX))
      .map(([name, { samples }]) => [name.slice(PREFIX.length), samples]),
  );
}

const states = (current: string) =>
  Object.fromEntries(STATES.map((state) => [`{state="${state}"}`, state === current ? 1 : 0]));
const buildInfo = { '{version="1.2.3",environment="production",filter="*"}': 1 };
const only = (value: number) => ({ "": value });

test("/metrics says nothing of what is not known yet", async () => {
  await using http = await serve();
  expect(await samplesOf(http)).toEqual({
    build_info: buildInfo,
    state: states("starting"),
    events_total: {},
    pages_total: only(0),
    events_updated_total: only(0),
    events_quarantined_total: only(0),
    gaps_total: only(0),
    late_events_total: only(0),
    history_read_ratio: {},
    retries_total: only(0),
    failures_in_a_row: only(0),
    last_good_poll_age_seconds: {},
    position_age_seconds: {},
    lag_seconds: {},
    unrecoverable_in_seconds: {},
    requests_total: {},
    request_duration_seconds: expect.objectContaining({ _sum: 0, _count: 0, '_bucket{le="+Inf"}': 0 }),
    commit_duration_seconds: expect.objectContaining({ _sum: 0, _count: 0, '_bucket{le="+Inf"}': 0 }),
  });
});

test("/metrics counts what the mirror does", async () => {
  await using http = await serve();
  const { status, metrics } = http;
  letMirror(status);
  metrics.requestDone({ status: "200", seconds: 0.25 });
  metrics.requestDone({ status: "429", seconds: 0.0625 });
  metrics.requestDone({ status: "error", seconds: 40 });
  metrics.requestDone({ status: "200", seconds: 0.5 });
  metrics.commitDone(0.004);
  const expected = {
    build_info: buildInfo,
    state: states("catching_up"),
    events_total: { '{event="user.created"}': 4, '{event="odd \\"type\\""}': 1 },
    pages_total: only(2),
    events_updated_total: only(2),
    events_quarantined_total: only(1),
    gaps_total: only(1),
    late_events_total: only(2),
    history_read_ratio: only(0.25),
    retries_total: only(2),
    failures_in_a_row: only(0),
    last_good_poll_age_seconds: only(300),
    position_age_seconds: only(1200),
    lag_seconds: only(600),
    unrecoverable_in_seconds: only(90 * 86_400 - 600),
    requests_total: { '{status="200"}': 2, '{status="429"}': 1, '{status="error"}': 1 },
    request_duration_seconds: {
      ...buckets([0, 0, 0, 1, 2, 3, 3, 3, 3, 3, 3], [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30], 4),
      _sum: 40.8125,
      _count: 4,
    },
    commit_duration_seconds: {
      ...buckets([0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30], 1),
      _sum: 0.004,
      _count: 1,
    },
  };
  expect(await samplesOf(http)).toEqual(expected);
  expect(await samplesOf(http), "asked again").toEqual(expected);
});

function buckets(counts: number[], bounds: number[], all: number): Family["samples"] {
  const entries = bounds.map((bound, index) => [`_bucket{le="${bound}"}`, counts[index]]);
  return { ...Object.fromEntries(entries), '_bucket{le="+Inf"}': all };
}

test("/metrics counts types beyond 500 together: each would be a time series", async () => {
  await using http = await serve();
  const saved = { updated: 0, quarantined: 0, pages: 1, gaps: 0, late: 0 };
  const types = Array.from({ length: 600 }, (_, index) => `type_${index}.created`);
  http.status.stored({ ...saved, inserted: new Map(types.map((type) => [type, 2])) });
  http.status.stored({ ...saved, inserted: new Map([["type_0.created", 1]]) });
  const { events_total } = await samplesOf(http);
  const apart = types.slice(0, 500).map((type, index) => [`{event="${type}"}`, index === 0 ? 3 : 2]);
  expect(events_total).toEqual({ ...Object.fromEntries(apart), '{event="other"}': 200 });
});

test("/metrics is what Prometheus reads, each with a help and a type, those of the process too", async () => {
  await using http = await serve();
  const response = await http.ask("/metrics");
  expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  const families = parseMetrics(await response.text());
  expect(
    Object.values(families).filter(({ help, type }) => !help || !/^(counter|gauge|histogram|summary)$/.test(type)),
  ).toEqual([]);
  expect(Object.keys(families)).toEqual(
    expect.arrayContaining([
      "process_resident_memory_bytes",
      "process_cpu_seconds_total",
      "nodejs_eventloop_lag_seconds",
    ]),
  );
  // a timer would have to look all the time, however idle the mirror is
  expect(Object.keys(families).filter((name) => /^nodejs_eventloop_lag_(?!seconds$)/.test(name))).toEqual([]);
});

// ---- Anything else ----------------------------------------------------------------------------------------------

test("other paths are not found, and say which are", async () => {
  await using http = await serve();
  const notFound = [404, "try /livez, /readyz, /status or /metrics\n"];
  for (const path of ["/", "/livez/", "/LIVEZ", "/status.json", "/favicon.ico", "//livez", "/%6civez"]) {
    expect(await http.answer(path), path).toEqual(notFound);
  }
  http.status.turned(now, 0);
  expect(await http.answer("/livez?verbose=1")).toEqual([200, "ok\n"]);
});

test("nothing can be changed: every method but GET and HEAD is refused", async () => {
  await using http = await serve();
  for (const method of ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"]) {
    const response = await http.ask("/status", { method, body: method === "POST" ? "x".repeat(100_000) : null });
    expect([response.status, response.headers.get("allow"), await response.text()], method).toEqual([
      405,
      "GET, HEAD",
      "only GET is answered here\n",
    ]);
  }
});

test("HEAD answers as GET does, without a body", async () => {
  await using http = await serve();
  for (const path of ["/livez", "/readyz", "/status", "/metrics", "/nothing"]) {
    const [get, head] = await Promise.all([http.ask(path), http.ask(path, { method: "HEAD" })]);
    expect([head.status, head.headers.get("content-type"), await head.text()], path).toEqual([
      get.status,
      get.headers.get("content-type"),
      "",
    ]);
    await get.text();
  }
});

test("a port that is taken is an error at once", async () => {
  await using http = await serve();
  const { status, metrics, port } = http;
  await expect(startHttp({ host: "127.0.0.1", port, status, metrics, stuckAfterMs: 1 })).rejects.toMatchObject({
    code: "EADDRINUSE",
  });
});
