import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import {
  type Fault,
  faults,
  type RecordedRequest,
  type SimulatedApi,
  startSimulatedApi,
} from "./support/simulated-api.ts";
import { simulatedTypes } from "./support/simulated-catalogue.ts";
import { generateEvents, type SimulatedEvent } from "./support/simulated-events.ts";
import { maxInWindow } from "./support/simulated-requests.ts";

const dayMs = 86_400_000;
const noon = Date.UTC(2026, 7, 20, 12);
const now = () => noon;
const history = (count: number, days: number) => generateEvents({ count, from: noon - days * dayMs, to: noon });
const iso = (timeMs: number) => new Date(timeMs).toISOString();
const texts = (events: readonly SimulatedEvent[]) => events.map((event) => event.text);

type Parameters = Record<string, string | number>;

function request(api: SimulatedApi, query: Parameters | string = {}, init: RequestInit = {}): Promise<Response> {
  const parameters = typeof query === "string" ? query : new URLSearchParams(query as Record<string, string>);
  return fetch(`${api.url}/events?${parameters}`, { headers: { authorization: `Bearer ${api.apiKey}` }, ...init });
}

interface Page {
  object: string;
  data: { id: string; event: string }[];
  list_metadata: { before: string | null; after: string | null };
}

async function page(api: SimulatedApi, query: Parameters | string = {}): Promise<Page> {
  return (await request(api, query)).json() as Promise<Page>;
}

async function ids(api: SimulatedApi, query: Parameters | string = {}): Promise<string[]> {
  return (await page(api, query)).data.map(({ id }) => id);
}

async function refusal(api: SimulatedApi, query: Parameters | string): Promise<[number, unknown]> {
  const response = await request(api, query);
  return [response.status, await response.json()];
}

const idsOf = (events: readonly SimulatedEvent[]) => events.map((event) => event.id);

const invalid = (field: string, code: string) => [422, { message: "Validation failed", errors: [{ field, code }] }];

test("makes the same events from the same seed, and others from another", () => {
  expect(history(200, 1)).toEqual(history(200, 1));
  expect(idsOf(generateEvents({ seed: 2, count: 200, from: noon - dayMs, to: noon }))).not.toEqual(
    idsOf(history(200, 1)),
  );
});

test("makes events of all 111 types, ascending, each with its own id and its exact text", () => {
  const events = history(5_000, 21);
  expect(new Set(events.slice(0, 1_000).map((event) => event.event))).toEqual(new Set(simulatedTypes));
  expect(simulatedTypes).toHaveLength(111);
  expect(new Set(idsOf(events)).size).toBe(5_000);
  expect(events.every((event) => /^event_01[0-9A-HJKMNP-TV-Z]{24}$/.test(event.id))).toBe(true);
  expect(events.map((event) => event.timeMs)).toEqual(events.map((event) => event.timeMs).sort((a, b) => a - b));
  for (const { text, id, event, createdAt, organizationId } of events) {
    const { data, ...envelope } = JSON.parse(text);
    expect(envelope).toMatchObject({ object: "event", id, event, created_at: createdAt });
    expect((event.startsWith("organization.") ? data.id : data.organization_id) ?? null).toBe(organizationId);
  }
});

test("makes values that are hard to carry, and no address of a real person", () => {
  const events = history(5_000, 21);
  const all = texts(events).join("\n");
  const hard = [
    "9007199254740993",
    "👩‍👩‍👧‍👦",
    "東京",
    "e\u0301",
    String.raw`\ud83d\ude00`,
    "[[[{}]],[],{}]",
    ":{}",
    "e23",
  ];
  expect(hard.filter((value) => !all.includes(value))).toEqual([]);
  expect(all).toMatch(/\.\d{30}/);
  expect(Math.max(...events.map((event) => event.text.length))).toBeGreaterThan(5_000);
  expect(new Set(all.match(/@[\w.-]+/g))).toEqual(new Set(["@example.com"]));
  expect(events.some((event) => /\.\d{6}Z$/.test(event.createdAt))).toBe(true);
  const together = events.filter(
    (event, place) => Math.floor(event.timeMs) === Math.floor(events[place - 1]?.timeMs ?? 0),
  );
  expect(together.length).toBeGreaterThan(100);
  expect(idsOf(events)).not.toEqual(idsOf(events).sort());
});

test("leads through everything page by page, as it is, with after null on the last page", async () => {
  await using api = await startSimulatedApi({ now, events: history(250, 21) });
  const bodies: string[] = [];
  const cursors: (string | null)[] = [];
  for (let after: string | null | undefined; after !== null; after = cursors.at(-1) ?? null) {
    const response = await request(api, { order: "asc", limit: 100, ...(after === undefined ? {} : { after }) });
    bodies.push(await response.text());
    cursors.push((JSON.parse(bodies.at(-1) ?? "") as Page).list_metadata.after);
  }
  const data = bodies.map((body) =>
    body.slice('{"object":"list","data":['.length, body.lastIndexOf('],"list_metadata"')),
  );
  expect(data.join(",")).toBe(texts(api.events).join(","));
  expect(cursors).toEqual([api.events[99]?.id, api.events[199]?.id, null]);
});

test("lists the newest 10 first by default, and in the order that was asked for", async () => {
  const events = history(30, 21);
  await using api = await startSimulatedApi({ now, events });
  const newest = idsOf(events).reverse();
  const middle = newest[14] ?? "";
  expect(await ids(api)).toEqual(newest.slice(0, 10));
  expect((await page(api)).list_metadata).toEqual({ before: null, after: newest[9] });
  expect(await ids(api, { after: middle, limit: 5 })).toEqual(newest.slice(15, 20));
  expect(await ids(api, { before: middle, limit: 5 })).toEqual(newest.slice(9, 14));
  expect(await ids(api, { order: "normal", after: middle, limit: 5 })).toEqual(newest.slice(9, 14));
  const normal = await page(api, { order: "normal", limit: 5, after: middle });
  expect(normal.list_metadata).toEqual({ before: newest[13], after: newest[9] });
  expect(await ids(api, { order: "normal", before: middle, limit: 5 })).toEqual(newest.slice(15, 20));
  expect(await ids(api, { order: "asc", before: middle, limit: 5 })).toEqual(idsOf(events).slice(10, 15));
  api.options.order = "ignores";
  expect(await ids(api, { order: "desc", limit: 5 })).toEqual(idsOf(events).slice(0, 5));
});

test("answers GET /events with the right key only", async () => {
  await using api = await startSimulatedApi({ now, apiKey: "sk_test_right" });
  const statusOf = async (path: string, init: RequestInit) => (await fetch(`${api.url}${path}`, init)).status;
  const headers = { authorization: "Bearer sk_test_right" };
  expect(await statusOf("/events", { headers })).toBe(200);
  expect(await statusOf("/events", {})).toBe(401);
  expect(await statusOf("/events", { headers: { authorization: "Bearer sk_test_wrong" } })).toBe(401);
  expect(await statusOf("/events", { method: "POST", headers })).toBe(404);
  expect(await statusOf("/users", { headers })).toBe(404);
  api.options.apiKey = "sk_test_rotated";
  expect(await statusOf("/events", { headers })).toBe(401);
});

test("refuses what the API calls invalid", async () => {
  const events = history(10, 1);
  await using api = await startSimulatedApi({ now, events });
  for (const limit of ["0", "101", "ten", "1.5", "-1", ""]) {
    expect(await refusal(api, { limit })).toEqual(invalid("limit", "must_be_between_1_and_100"));
  }
  expect(await refusal(api, { order: "up" })).toEqual(invalid("order", "must_be_asc_desc_or_normal"));
  for (const range_end of ["yesterday", "1700000000000", "2026-13-01", "2026-08-01 10:00:00", "2026-08-01T25:00:00Z"]) {
    expect(await refusal(api, { range_end })).toEqual(invalid("range_end", "must_be_iso_8601"));
  }
  const both = { after: events[3]?.id ?? "", range_start: iso(noon) };
  expect(await refusal(api, both)).toEqual(invalid("range_start", "not_allowed_with_after"));
});

test("understands all three forms of the event filter, and the organization", async () => {
  const events = history(600, 21);
  await using api = await startSimulatedApi({ now, events });
  const wanted = idsOf(events.filter(({ event }) => event === "user.created" || event === "session.created")).slice(
    0,
    20,
  );
  for (const filter of [
    "events[]=user.created&events[]=session.created",
    "events=user.created,session.created",
    "events=user.created&events=session.created",
  ]) {
    expect(await ids(api, `order=asc&limit=20&${filter}`)).toEqual(wanted);
  }
  const organization = events.find((event) => event.organizationId !== null)?.organizationId ?? "";
  const own = events.filter((event) => event.organizationId === organization);
  expect(await ids(api, { order: "asc", limit: 100, organization_id: organization })).toEqual(idsOf(own).slice(0, 100));
});

test("demands a filter, and only known names in it, when it is told to", async () => {
  await using api = await startSimulatedApi({ now, filterRequired: true, knownTypes: ["user.created"] });
  expect(await refusal(api, {})).toEqual(invalid("events", "required"));
  expect((await request(api, "events[]=user.created")).status).toBe(200);
  expect(await refusal(api, "events[]=user.created&events[]=user.renamed")).toEqual([
    400,
    {
      message: "Invalid name parameter, received: 'user.renamed'. You must pass in valid event names",
      code: "invalid_events_request",
    },
  ]);
});

test("includes range_start and excludes range_end, to the microsecond", async () => {
  const events = history(2_000, 21);
  const microsAfterItsElder = (event: SimulatedEvent, elder?: SimulatedEvent) =>
    event.timeMs > (elder?.timeMs ?? 0) && Math.floor(event.timeMs) === Math.floor(elder?.timeMs ?? 0);
  const place = events.findIndex((event, at) => at > 0 && microsAfterItsElder(event, events[at - 1]));
  const last = events.findIndex((event) => event.timeMs > (events[place + 20]?.timeMs ?? 0) + 1);
  const range = { range_start: events[place]?.createdAt ?? "", range_end: iso(Math.floor(events[last]?.timeMs ?? 0)) };
  await using api = await startSimulatedApi({ now, events });
  const expected = events.slice(place).filter((event) => event.timeMs < Date.parse(range.range_end));
  expect(await ids(api, { order: "asc", limit: 100, ...range })).toEqual(idsOf(expected));
  expect(expected.length).toBeGreaterThan(19);
});

test("looks no further than 30 days from the start, the cursor or the oldest event that it keeps", async () => {
  const events = history(100, 100);
  await using api = await startSimulatedApi({ now, events });
  const within = (from: number, days = 30) =>
    idsOf(events.filter(({ timeMs }) => timeMs >= from && timeMs <= from + days * dayMs));
  const oldest = api.keptEvents[0]?.timeMs ?? 0;
  expect(await ids(api, { order: "asc", limit: 100 })).toEqual(within(oldest));
  expect(await ids(api, { order: "asc", limit: 100, range_start: iso(noon - 70 * dayMs) })).toEqual(
    within(noon - 70 * dayMs),
  );
  const cursor = events[20];
  expect(await ids(api, { order: "asc", limit: 100, after: cursor?.id ?? "" })).toEqual(
    within(cursor?.timeMs ?? 0).slice(1),
  );
  expect(await ids(api, { limit: 100 })).toEqual(within(noon - 30 * dayMs).reverse());
  api.options.windowDays = null;
  expect(await ids(api, { order: "asc", limit: 100 })).toEqual(within(noon - 90 * dayMs, 90));
});

test("answers emptily where the window holds nothing, although there is something newer", async () => {
  const events = generateEvents({ count: 5, from: noon - dayMs, to: noon });
  await using api = await startSimulatedApi({ now, events });
  const empty = { object: "list", data: [], list_metadata: { before: null, after: null } };
  expect(await page(api, { order: "asc", range_start: iso(noon - 60 * dayMs) })).toEqual(empty);
  expect(await ids(api, { order: "asc", range_start: iso(noon - 30 * dayMs) })).toEqual(idsOf(events));
});

test("forgets events and cursors older than 90 days, and refuses or mends a start before that", async () => {
  const events = history(100, 100);
  await using api = await startSimulatedApi({ now, events });
  const kept = events.filter((event) => event.timeMs >= noon - 90 * dayMs);
  expect(api.keptEvents).toEqual(kept);
  expect((await ids(api, { order: "asc", range_start: iso(noon - 95 * dayMs) }))[0]).toBe(kept[0]?.id);
  expect((await refusal(api, { order: "asc", after: events[3]?.id ?? "" }))[0]).toBe(400);
  api.options.staleStart = "refuse";
  expect(await refusal(api, { range_start: iso(noon - 95 * dayMs) })).toEqual(invalid("range_start", "out_of_range"));
  api.options.retentionDays = null;
  expect((await ids(api, { order: "asc" }))[0]).toBe(events[0]?.id);
});

test("rejects a cursor that it does not know, or answers from the beginning", async () => {
  const events = history(5, 1);
  await using api = await startSimulatedApi({ now, events });
  const [status, body] = await refusal(api, { order: "asc", after: "event_unknown" });
  expect([status, JSON.stringify(body)]).toEqual([400, expect.stringContaining("'after'")]);
  api.options.unknownCursor = "ignore";
  expect(await ids(api, { order: "asc", after: "event_unknown" })).toEqual(idsOf(events));
});

test("holds the youngest events back from ascending reads only", async () => {
  let clock = noon;
  await using api = await startSimulatedApi({ now: () => clock, holdBackMs: 3_000 });
  const [event] = api.emit(1);
  const ascending = { order: "asc", limit: 1 };
  expect(await ids(api, ascending)).toEqual([]);
  expect(await ids(api)).toEqual([event?.id]);
  clock += 3_001;
  expect(await ids(api, ascending)).toEqual([event?.id]);
});

test("emits events that happen now, once and continually, with ids that never occurred", async () => {
  await using api = await startSimulatedApi({ now, events: history(50, 1) });
  const emitted = api.emit(40);
  expect(api.events.slice(50)).toEqual(emitted);
  expect(emitted.every((event) => Math.floor(event.timeMs) === noon)).toBe(true);
  const stop = await new Promise<() => void>((resolve) => {
    const stopEmission = api.emitEvery(1, () => {
      resolve(stopEmission);
      return 3;
    });
  });
  stop();
  expect(api.events).toHaveLength(93);
  expect(new Set(idsOf(api.events)).size).toBe(93);
  expect(await ids(api, { order: "asc", after: emitted[39]?.id ?? "" })).toEqual(idsOf(api.events.slice(90)));
});

test("puts a late event behind cursors that have passed it", async () => {
  const events = history(20, 1);
  await using api = await startSimulatedApi({ now, events });
  const late = api.insertLate(noon - dayMs / 2);
  const passed = events.findLast((event) => event.timeMs <= late.timeMs);
  expect(await ids(api, { order: "asc", after: events[19]?.id ?? "" })).toEqual([]);
  expect((await ids(api, { order: "asc", after: passed?.id ?? "" }))[0]).toBe(late.id);
  expect(await ids(api, { order: "asc", after: late.id, limit: 100 })).toEqual(
    idsOf(events.filter((event) => event.timeMs > late.timeMs)),
  );
});

test("sends a poison event exactly as it was given, at the end of the list", async () => {
  await using api = await startSimulatedApi({ now, events: history(5, 1) });
  const poison = [
    String.raw`{"object":"event","id":"event_nul","event":"user.created","data":{"name":"\u0000\ud800"},"created_at":"soon"}`,
    '{"object":"event","event":"user.created","data":{"size":1e999999},"created_at":"2026-08-20T12:00:00Z"}',
    '"no object"',
    `{"id":"event_deep","data":${"[".repeat(300)}${"]".repeat(300)}}`,
  ];
  for (const text of poison) api.emitRaw(text);
  const body = await (await request(api, { order: "asc", limit: 100 })).text();
  expect(body).toBe(`{"object":"list","data":[${texts(api.events)}],"list_metadata":{"before":null,"after":null}}`);
  expect(texts(api.events.slice(5))).toEqual(poison);
  expect(await ids(api, { order: "asc", after: "event_nul", limit: 1 })).toEqual([undefined]);
});

test("names each answer, shows its own clock and keeps connections open", async () => {
  await using api = await startSimulatedApi({ now });
  const answers = [await request(api), await request(api, { limit: 0 })];
  expect(answers.map(({ headers }) => headers.get("date"))).toEqual(Array(2).fill("Thu, 20 Aug 2026 12:00:00 GMT"));
  expect(answers.map(({ headers }) => headers.get("content-type"))).toEqual(
    Array(2).fill("application/json; charset=utf-8"),
  );
  expect(answers.map(({ headers }) => headers.get("connection"))).toEqual(["keep-alive", "keep-alive"]);
  expect(new Set(answers.map(({ headers }) => headers.get("x-request-id"))).size).toBe(2);
});

test("records every request, with its time, and takes as long as it is told to", async () => {
  await using api = await startSimulatedApi({ now, events: history(20, 1) });
  api.options.latencyMs = 20;
  const before = performance.now();
  await request(api, "limit=7&events[]=user.created", {
    headers: { authorization: "Bearer wrong", "user-agent": "x/1" },
  });
  const after = performance.now();
  await page(api, { limit: 7 });
  const [first, second] = api.requests;
  expect(first).toMatchObject({ method: "GET", path: "/events", status: 401, headers: { "user-agent": "x/1" } });
  expect(first?.query.getAll("events[]")).toEqual(["user.created"]);
  expect(second).toMatchObject({ status: 200, events: 7 });
  expect(first?.at).toBeGreaterThan(before);
  expect(after - (first?.at ?? after)).toBeGreaterThan(18);
});

test("finds the fullest stretch among the requests", () => {
  const requests = [0, 1, 9_999, 10_000, 10_001, 25_000].map((at) => ({ at }) as RecordedRequest);
  expect(maxInWindow(requests, 10_000)).toBe(3);
  expect(maxInWindow(requests, 10_002)).toBe(5);
  expect(maxInWindow([], 10_000)).toBe(0);
});

test("answers 429 beyond the rate limit", async () => {
  await using api = await startSimulatedApi({ now, rateLimit: { requests: 2, perMs: 60_000 } });
  const statuses = [await request(api), await request(api), await request(api)].map(({ status }) => status);
  expect(statuses).toEqual([200, 200, 429]);
  api.options.rateLimit = null;
  expect((await request(api)).status).toBe(200);
  expect(api.maxInWindow()).toBe(4);
});

async function failing(fault: Fault, query: Parameters = {}, count = 20) {
  await using api = await startSimulatedApi({ now, events: history(count, 1) });
  api.fail(fault);
  const response = await request(api, query);
  const { status, headers } = response;
  return { status, headers, body: await response.text(), events: api.events };
}

test("fails with the status, body and headers of the fault", async () => {
  const told = async (fault: Fault, header = "retry-after") => {
    const { status, headers, body } = await failing(fault, {}, 1);
    return [status, headers.get(header), body];
  };
  expect(await told(faults.tooManyRequests())).toEqual([429, null, expect.stringContaining("message")]);
  expect(await told(faults.tooManyRequests({ retryAfter: 7 }))).toEqual([429, "7", expect.anything()]);
  const date = "Thu, 20 Aug 2026 12:00:09 GMT";
  expect(await told(faults.tooManyRequests({ retryAfter: new Date(date) }))).toEqual([429, date, expect.anything()]);
  const inBody = expect.stringContaining('"retry_after":3');
  expect(await told(faults.tooManyRequests({ retryAfter: "body", seconds: 3 }))).toEqual([429, null, inBody]);
  expect(await told(faults.serverError(503))).toEqual([503, null, expect.stringMatching(/^\{/)]);
  expect(await told(faults.serverError(502, "html"), "content-type")).toEqual([
    502,
    "text/html; charset=utf-8",
    expect.stringMatching(/^<html>/),
  ]);
  expect(await told(faults.serverError(504, "empty"))).toEqual([504, null, ""]);
  expect((await told(faults.unauthorized()))[0]).toBe(401);
  expect((await told(faults.forbidden()))[0]).toBe(403);
  expect((await told(faults.notFound()))[0]).toBe(404);
  expect(await told(faults.notJson())).toEqual([200, null, expect.stringMatching(/^<html>/)]);
  expect(await told(faults.wrongShape())).toEqual([200, null, '{"data":{}}']);
  expect(await told(faults.status(418, "tea", { "x-pot": "1" }), "x-pot")).toEqual([418, "1", "tea"]);
  await using api = await startSimulatedApi({ now });
  api.fail(faults.redirect("https://example.com/"));
  const redirect = await request(api, {}, { redirect: "manual" });
  expect([redirect.status, redirect.headers.get("location")]).toEqual([302, "https://example.com/"]);
});

test("breaks connections and answers where the fault says", async () => {
  await expect(failing(faults.reset())).rejects.toThrow("fetch failed");
  await expect(failing(faults.resetMidBody())).rejects.toThrow("terminated");
  const whole = await failing(faults.emptyPage());
  expect(JSON.parse(whole.body)).toEqual({ object: "list", data: [], list_metadata: { before: null, after: null } });
  const truncated = await failing(faults.truncated());
  expect(Number(truncated.headers.get("content-length"))).toBe(Buffer.byteLength(truncated.body));
  expect(() => JSON.parse(truncated.body)).toThrow(SyntaxError);
  const dripped = await failing(faults.slowDrip({ bytesPerSecond: 100_000 }));
  expect(JSON.parse(dripped.body).data).toHaveLength(10);
});

test("falls silent before the headers or within the body, until it is closed", async () => {
  const api = await startSimulatedApi({ now, events: history(20, 1) });
  api.fail(faults.hangMidBody());
  const reader = (await request(api)).body?.getReader();
  expect((await reader?.read())?.value?.length).toBeGreaterThan(0);
  api.fail(faults.hang());
  const silent = request(api);
  const pieces = [reader?.read(), silent].map((promise) => expect(promise).rejects.toThrow());
  const arrived = expect.poll(() => api.requests.length).toBe(2);
  await arrived;
  expect(api.requests.map(({ status }) => status)).toEqual([200, undefined]);
  await api.close();
  await Promise.all(pieces);
  await api.close();
});

test("pads a page in proportion to its events", async () => {
  const bytes = 3_000_000;
  const full = await failing(faults.huge({ bytes }), { limit: 100, order: "asc" }, 120);
  expect(full.body.length).toBeGreaterThan(bytes * 0.99);
  expect(full.headers.get("content-length")).toBe(null);
  expect(JSON.parse(full.body).data).toHaveLength(100);
  const half = await failing(faults.huge({ bytes, declared: true }), { limit: 50 }, 120);
  expect(Number(half.headers.get("content-length"))).toBeLessThan(bytes * 0.51);
});

test("distorts the page as the fault says, and stays well-formed", async () => {
  const events = history(20, 1);
  const all = idsOf(events);
  await using api = await startSimulatedApi({ now, events });
  const distorted = async (fault: Fault, query: Parameters) => {
    api.fail(fault);
    const { data, list_metadata } = await page(api, { order: "asc", ...query });
    return [
      data.map(({ id }) => all.indexOf(id)),
      list_metadata.after === null ? null : all.indexOf(list_metadata.after),
    ];
  };
  const after = all[9] ?? "";
  expect(await distorted(faults.duplicates(), { limit: 6 })).toEqual([[0, 0, 1, 2, 3, 3], 3]);
  expect(await distorted(faults.overlap({ by: 3 }), { limit: 5, after })).toEqual([[7, 8, 9, 10, 11], 11]);
  expect(await distorted(faults.overlap({ by: 1 }), { limit: 20, after })).toEqual([
    [9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19],
    null,
  ]);
  expect((await distorted(faults.overlap({ by: 3 }), { limit: 11, after }))[1]).toBe(17);
  expect(await distorted(faults.stuck(), { limit: 5, after })).toEqual([[7, 8, 9], 9]);
  expect(await distorted(faults.stuck(), { limit: 1, after })).toEqual([[9], 9]);
  expect(await distorted(faults.descending(), { limit: 3 })).toEqual([[2, 1, 0], 0]);
});

test("lets faults queue up, repeat, wait for their request, and be called off", async () => {
  await using api = await startSimulatedApi({ now });
  api.fail(faults.serverError(500), { when: ({ query }) => query.has("after") });
  api.fail(faults.serverError(503), { times: 2 });
  api.fail(faults.notFound(), { times: Number.POSITIVE_INFINITY });
  const statuses: number[] = [];
  for (const query of ["", "after=x", "", ""]) statuses.push((await request(api, query)).status);
  expect(statuses).toEqual([503, 500, 503, 404]);
  expect(api.pendingFaults).toBe(Number.POSITIVE_INFINITY);
  api.clearFaults();
  expect((await request(api)).status).toBe(200);
});

test("runs as a command that says where it is and ends on SIGTERM", async () => {
  const main = fileURLToPath(new URL("./support/simulated-api-main.ts", import.meta.url));
  const child = spawn(process.execPath, [main, "--port", "0", "--events", "300", "--key", "sk_test_cli"], {
    stdio: "pipe",
  });
  const [line] = await once(createInterface(child.stdout), "line");
  const url = /http:\/\/[\w.:]+/.exec(line)?.[0];
  const response = await fetch(`${url}/events?limit=100`, { headers: { authorization: "Bearer sk_test_cli" } });
  expect(((await response.json()) as Page).data).toHaveLength(100);
  child.kill("SIGTERM");
  expect(await once(child, "exit")).toEqual([0, null]);
});
