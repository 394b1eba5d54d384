import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import type { PageRequest } from "../../src/event.ts";
import { instantOf } from "../../src/instant.ts";
import { Trouble } from "../../src/trouble.ts";
import { type ClientOptions, createClient } from "../../src/workos/client.ts";
import { type Fault, faults, type SimulatedApi, startSimulatedApi } from "../support/simulated-api.ts";
import { generateEvents } from "../support/simulated-events.ts";
import { until } from "../support/wait.ts";

const KEY = "sk_test_simulated";
const MIB = 1024 * 1024;
const NOON = Date.UTC(2026, 7, 20, 12);
const START = instantOf(NOON - 86_400_000);
const FROM_START: PageRequest = { filter: {}, from: { rangeStart: START } };
const NEVER = new AbortController().signal;
const EMPTY_PAGE = '{"object":"list","data":[],"list_metadata":{"after":null}}';

const history = (count: number) => generateEvents({ count, from: NOON - 86_400_000, to: NOON });
const startApi = (count = 0) => startSimulatedApi({ now: () => NOON, apiKey: KEY, events: history(count) });

function clientOf({ url }: { url: string }, options: Partial<ClientOptions> = {}) {
  const client = createClient({
    baseUrl: url,
    readKey: async () => KEY,
    pageSize: 100,
    timeoutMs: 20_000,
    rateLimit: { requests: 1000, perMs: 1000 },
    userAgent: "workos-events-mirror/1.2.3",
    ...options,
  });
  return (request: PageRequest = FROM_START, signal = NEVER) => client(request, signal);
}

/** A server of any manners, for what the simulated API does not do. */
async function startServer(listener: RequestListener) {
  const requests: IncomingMessage[] = [];
  let connections = 0;
  const server = createServer((request, response) => {
    requests.push(request);
    listener(request, response);
  });
  server.on("connection", () => {
    connections += 1;
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const stop = () => {
    server.close();
    server.closeAllConnections();
  };
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, requests, connections: () => connections, [Symbol.dispose]: stop };
}

async function troubleOf(page: Promise<unknown>): Promise<Trouble> {
  const error = await page.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof Trouble) return error;
  throw new Error("no Trouble", { cause: error });
}

const limitsOf = (api: SimulatedApi) => api.requests.map(({ query }) => Number(query.get("limit")));

test("answers a page as the API sent it, with where it ends, what was asked, and the API's clock", async () => {
  await using api = await startApi(30);
  const first = api.events.slice(0, 20);
  const page = await clientOf(api, { pageSize: 20 })();
  expect(page).toEqual({
    events: first.map(({ id, event, text }) => expect.objectContaining({ id, event, text })),
    quarantined: [],
    received: 20,
    full: true,
    last: false,
    bytes: expect.any(Number),
    tookMs: expect.any(Number),
    end: { after: first[19]?.id, at: page.events[19]?.createdAt },
    request: "/events?order=asc&limit=20&range_start=2026-08-19T12%3A00%3A00.000Z",
    requestId: "00000000-0000-4000-8000-000000000001",
    apiTime: instantOf(NOON),
  });
  const rest = await clientOf(api)({ filter: {}, from: { after: first[19]?.id ?? "" } });
  expect([rest.events.map(({ text }) => text), rest.full, rest.last]).toEqual([
    api.events.slice(20).map(({ text }) => text),
    false,
    true,
  ]);
});

test("sends just these parameters: always ascending, a cursor or a start, times in milliseconds, the filter", async () => {
  using server = await startServer((_, response) => response.end(EMPTY_PAGE));
  const events = ["user.created", "user.deleted"];
  const to = { rangeEnd: "2026-08-20T10:00:00.123000Z" };
  const fetchPage = clientOf(server, { pageSize: 50 });
  await fetchPage({ filter: {}, from: { after: "event_1" } });
  await fetchPage({ filter: { events }, from: { after: "event_1" }, ...to });
  await fetchPage({ filter: { organizationId: "org_1" }, from: { rangeStart: "2026-08-20T09:00:00.123456Z" } });
  await fetchPage({ filter: {}, from: { rangeStart: START }, rangeEnd: "2026-08-20T10:00:00.123001Z" });
  await fetchPage({ filter: {}, from: { after: "a&b=c d+e/é" } });
  expect(server.requests.map(({ url }) => url)).toEqual([
    "/events?order=asc&limit=50&after=event_1",
    "/events?order=asc&limit=50&after=event_1&range_end=2026-08-20T10%3A00%3A00.123Z&events%5B%5D=user.created&events%5B%5D=user.deleted",
    "/events?order=asc&limit=50&range_start=2026-08-20T09%3A00%3A00.123Z&organization_id=org_1",
    "/events?order=asc&limit=50&range_start=2026-08-19T12%3A00%3A00.000Z&range_end=2026-08-20T10%3A00%3A00.124Z",
    "/events?order=asc&limit=50&after=a%26b%3Dc+d%2Be%2F%C3%A9",
  ]);
});

test("tells who it is and that it may read, below any path of the base URL", async () => {
  using server = await startServer((_, response) => response.end(EMPTY_PAGE));
  await clientOf({ url: `${server.url}/workos/v1` })();
  const [request] = server.requests;
  expect([request?.method, request?.url?.split("?")[0]]).toEqual(["GET", "/workos/v1/events"]);
  expect(request?.headers).toMatchObject({
    authorization: `Bearer ${KEY}`,
    "user-agent": "workos-events-mirror/1.2.3",
    accept: "application/json",
  });
});

const soon = new Date(NOON + 2_000);
const met: [what: string, fault: Fault, trouble: Record<string, unknown>][] = [
  ["500", faults.serverError(500), { code: "api_failing", status: 500 }],
  ["502 with HTML", faults.serverError(502, "html"), { code: "api_failing", status: 502 }],
  ["503 without a body", faults.serverError(503, "empty"), { code: "api_failing", status: 503 }],
  ["204", faults.status(204), { code: "api_failing", status: 204 }],
  ["429", faults.tooManyRequests(), { code: "api_rate_limited", status: 429 }],
  [
    "429, seconds",
    faults.tooManyRequests({ retryAfter: 1 }),
    { code: "api_rate_limited", status: 429, retryAfterMs: 1000 },
  ],
  [
    "429, date",
    faults.tooManyRequests({ retryAfter: soon }),
    { code: "api_rate_limited", status: 429, retryAfterMs: 2000 },
  ],
  [
    "429, in the body",
    faults.tooManyRequests({ retryAfter: "body", seconds: 1 }),
    { code: "api_rate_limited", status: 429, retryAfterMs: 1000 },
  ],
  ["401", faults.unauthorized(), { kind: "refused", code: "api_unauthorized", status: 401 }],
  ["403", faults.forbidden(), { kind: "refused", code: "api_forbidden", status: 403 }],
  ["404", faults.notFound(), { kind: "refused", code: "api_refused", status: 404 }],
  ["302", faults.redirect("/elsewhere"), { kind: "refused", code: "api_redirected", status: 302 }],
  ["a connection reset", faults.reset(), { code: "api_unreachable" }],
  ["a body that breaks off", faults.resetMidBody(), { code: "page_broken_off", status: 200 }],
  ["a body that is cut short", faults.truncated(), { code: "page_not_json" }],
  ["a page of HTML", faults.notJson(), { code: "page_not_json" }],
  ["JSON that is no list", faults.wrongShape(), { code: "page_wrong_shape" }],
  ["a list newest first", faults.descending(), { code: "page_not_ascending" }],
  ["silence", faults.hang(), { code: "api_timeout" }],
  ["silence after half the body", faults.hangMidBody(), { code: "api_slow_body" }],
  ["a body that drips", faults.slowDrip({ bytesPerSecond: 10_000 }), { code: "api_slow_body" }],
];

test.each(met)(
  "makes Trouble of the right kind of %s, in time, and is as good as new afterwards",
  async (_, fault, trouble) => {
    await using api = await startApi(40);
    api.fail(fault);
    const fetchPage = clientOf(api, { timeoutMs: 500 });
    const began = performance.now();
    const { kind, code, status, retryAfterMs } = await troubleOf(fetchPage());
    expect(performance.now() - began).toBeLessThan(3000);
    expect({ kind, code, status, retryAfterMs }).toEqual({
      kind: "passing",
      status: undefined,
      retryAfterMs: 0,
      ...trouble,
    });
    const page = await until(() => fetchPage().catch(() => undefined), "an answer");
    expect(page.events.map(({ id }) => id)).toEqual(api.events.map(({ id }) => id));
  },
);

test("says what it waited for when the time was up, and what can be done", async () => {
  await using api = await startApi(40);
  api.fail(faults.hang());
  api.fail(faults.hangMidBody());
  const fetchPage = clientOf(api, { timeoutMs: 200 });
  const troubles = [await troubleOf(fetchPage()), await troubleOf(fetchPage())];
  const hint = "retried by itself; if it lasts, raise REQUEST_TIMEOUT or lower PAGE_SIZE";
  expect(troubles.map((trouble) => [trouble.message, trouble.hint])).toEqual([
    ["GET /events: no whole answer within 200 ms (waiting for the headers)", hint],
    ["GET /events: no whole answer within 200 ms (waiting for the body)", hint],
  ]);
});

test("does not count the wait for the rate limit as the API's slowness", async () => {
  await using api = await startApi();
  const fetchPage = clientOf(api, { timeoutMs: 500, rateLimit: { requests: 1, perMs: 1000 } });
  await fetchPage();
  await fetchPage();
  expect(api.requests.length).toBe(2);
});

test("sends nothing before Retry-After has passed, not even what was waiting for a place", async () => {
  await using api = await startApi();
  api.fail(faults.tooManyRequests({ retryAfter: 3 }));
  const ask = clientOf(api, { rateLimit: { requests: 1, perMs: 100 } });
  const began = performance.now();
  const troubles = await Promise.all([1, 2, 3].map(() => troubleOf(ask())));
  expect(troubles.map(({ code }) => code)).toEqual(Array(3).fill("api_rate_limited"));
  expect(api.requests).toHaveLength(1);
  await until(
    async () =>
      ask().then(
        () => true,
        () => undefined,
      ),
    "an answer",
  );
  expect(performance.now() - began).toBeGreaterThanOrEqual(3_000);
  expect(api.requests).toHaveLength(2);
});

test("tells of a server that is not there, and of one that does not speak TLS", async () => {
  using server = await startServer((_, response) => response.end(EMPTY_PAGE));
  const { host } = new URL(server.url);
  const noTls = await troubleOf(clientOf({ url: `https://${host}` })());
  server[Symbol.dispose]();
  const nobody = await troubleOf(clientOf(server)());
  expect([noTls, nobody].map(({ kind, code }) => [kind, code])).toEqual(Array(2).fill(["passing", "api_unreachable"]));
  expect(nobody.message).toBe(`no answer from ${host}: connect ECONNREFUSED ${host}`);
  expect(noTls.message).toMatch(`no answer from ${host}: `);
});

test("follows no redirect, so that the key goes nowhere else", async () => {
  using elsewhere = await startServer((_, response) => response.end(EMPTY_PAGE));
  await using api = await startApi();
  for (const status of [301, 302, 303, 307, 308]) {
    api.fail(faults.redirect(`${elsewhere.url}/events`, status));
    expect((await troubleOf(clientOf(api)())).code).toBe("api_redirected");
  }
  expect(elsewhere.requests).toEqual([]);
});

test("asks for fewer events when an answer is too large, and for more again once they fit", async () => {
  await using api = await startApi(200);
  api.fail(faults.huge({ bytes: 18 * MIB }), { times: 3 });
  const fetchPage = clientOf(api);
  const pages = [await fetchPage(), await fetchPage(), await fetchPage(), await fetchPage()];
  expect(limitsOf(api)).toEqual([100, 50, 25, 25, 50, 100]);
  expect(pages.map(({ received, full, request }) => [received, full, request.includes(`limit=${received}&`)])).toEqual(
    [25, 25, 50, 100].map((received) => [received, true, true]),
  );
});

test("notices a declared length that is too large just as well", async () => {
  await using api = await startApi(100);
  api.fail(faults.huge({ bytes: 9 * MIB, declared: true }), { times: 2 });
  expect((await clientOf(api)()).received).toBe(50);
});

test("goes down to a single event, which may be larger than a page", async () => {
  await using api = await startApi(10);
  api.fail(faults.huge({ bytes: 6500 * MIB }), { times: 2 });
  const page = await clientOf(api, { pageSize: 3 })();
  expect([limitsOf(api), page.events.map(({ id }) => id)]).toEqual([[3, 1], [api.events[0]?.id]]);
});

test("gives up on a single event that is larger than anything that Postgres could hold", async () => {
  await using api = await startApi(1);
  api.fail(faults.huge({ bytes: 26_000 * MIB }), { times: 2 });
  const { message, kind, code, hint } = await troubleOf(clientOf(api, { pageSize: 1 })());
  expect({ message, kind, code, hint }).toEqual({
    message: `GET /events: one event alone is larger than ${256 * MIB} bytes`,
    kind: "refused",
    code: "event_too_large",
    hint: "give the process more memory (NODE_OPTIONS=--max-old-space-size); beyond 256 MiB Postgres could not hold it",
  });
});

test("pays for each of those attempts out of the rate limit", async () => {
  await using api = await startApi(10);
  api.fail(faults.huge({ bytes: 120 * MIB }), { times: 3 });
  await clientOf(api, { pageSize: 8, rateLimit: { requests: 1, perMs: 1000 } })();
  expect([limitsOf(api), api.maxInWindow(1000)]).toEqual([[8, 4], 1]);
});

test("asks for fewer events after a body that was too slow, for as many after other time-outs", async () => {
  await using api = await startApi(100);
  const fetchPage = clientOf(api, { timeoutMs: 200 });
  api.fail(faults.hang());
  api.fail(faults.slowDrip({ bytesPerSecond: 1000 }), { times: 2 });
  for (let failed = 0; failed < 3; failed += 1) await troubleOf(fetchPage());
  await fetchPage();
  await fetchPage();
  expect(limitsOf(api)).toEqual([100, 100, 50, 25, 50]);
});

test("reads compressed answers, and counts them as large as they really are", async () => {
  const bodies = [`{${" ".repeat(65 * MIB)}"data":[]}`, EMPTY_PAGE].map((body) => gzipSync(body));
  using server = await startServer((request, response) => {
    expect(request.headers["accept-encoding"]).toContain("gzip");
    response.writeHead(200, { "content-encoding": "gzip" }).end(bodies.shift());
  });
  expect((await clientOf(server)()).received).toBe(0);
  expect(server.requests.map(({ url }) => /limit=\d+/.exec(url ?? "")?.[0])).toEqual(["limit=100", "limit=50"]);
});

test("reads every encoding that it asks for, and notices one that breaks off", async () => {
  const encode = { gzip: gzipSync, deflate: deflateSync, br: brotliCompressSync };
  for (const [encoding, compress] of Object.entries(encode)) {
    const whole = compress(EMPTY_PAGE);
    const bodies = [whole, whole.subarray(0, -4)];
    using server = await startServer((request, response) => {
      expect(request.headers["accept-encoding"]?.split(", ")).toContain(encoding);
      response.writeHead(200, { "content-encoding": encoding }).end(bodies.shift());
    });
    const fetchPage = clientOf(server);
    expect((await fetchPage()).received).toBe(0);
    expect((await troubleOf(fetchPage())).code).toBe("page_broken_off");
  }
});

test("takes a byte order mark for what it is, and changes no byte that is not UTF-8 into another", async () => {
  const bodies = [Buffer.from(`\ufeff${EMPTY_PAGE}`), Buffer.from('{"data":["\xff"]}', "latin1")];
  using server = await startServer((_, response) => response.end(bodies.shift()));
  const fetchPage = clientOf(server);
  expect((await fetchPage()).received).toBe(0);
  const { message, kind, code } = await troubleOf(fetchPage());
  expect([message, kind, code]).toEqual(["GET /events: the answer is not valid UTF-8", "passing", "page_not_utf8"]);
});

test("uses one connection for request after request, errors included", async () => {
  const statuses = [200, 500, 401, 429, 200, 404, 200];
  using server = await startServer((_, response) => response.writeHead(statuses.shift() ?? 200).end(EMPTY_PAGE));
  const fetchPage = clientOf(server);
  for (let asked = 0; asked < 7; asked += 1) await fetchPage().catch(() => {});
  expect([server.requests.length, server.connections()]).toEqual([7, 1]);
});

test("takes up a key that was rotated in its file, without a restart", async () => {
  const folder = await mkdtemp(join(tmpdir(), "key-"));
  const file = join(folder, "key");
  await using api = await startApi();
  try {
    const fetchPage = clientOf(api, { readKey: () => readFile(file, "utf8") });
    await writeFile(file, KEY);
    await fetchPage();
    api.options.apiKey = "sk_test_rotated";
    expect((await troubleOf(fetchPage())).code).toBe("api_unauthorized");
    await writeFile(file, "sk_test_rotated");
    await fetchPage();
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("sends nothing when the key can't be read, and says why", async () => {
  await using api = await startApi();
  const unreadable = new Trouble("the file is gone", { kind: "refused", code: "key_unreadable" });
  expect(await troubleOf(clientOf(api, { readKey: () => Promise.reject(unreadable) })())).toBe(unreadable);
  expect(api.requests).toEqual([]);
});

test("ends a hanging request at once when told to stop, its connection too", async () => {
  const arrived = [Promise.withResolvers<IncomingMessage>(), Promise.withResolvers<IncomingMessage>()];
  using server = await startServer((request, response) => {
    if (server.requests.length === 2) response.writeHead(200, { "content-length": 100 }).write("{");
    arrived[server.requests.length - 1]?.resolve(request);
  });
  const fetchPage = clientOf(server, { timeoutMs: 60_000 });
  for (const { promise } of arrived) {
    const [stop, reason] = [new AbortController(), new Error("SIGTERM")];
    const page = fetchPage(FROM_START, stop.signal);
    const request = await promise;
    const closed = new Promise((resolve) => request.socket.once("close", resolve));
    const began = performance.now();
    stop.abort(reason);
    await expect(page).rejects.toBe(reason);
    await closed;
    expect(performance.now() - began).toBeLessThan(500);
  }
});

test("asks nothing when it was told to stop before", async () => {
  await using api = await startApi();
  const reason = new Error("SIGTERM");
  await expect(clientOf(api)(FROM_START, AbortSignal.abort(reason))).rejects.toBe(reason);
  expect(api.requests).toEqual([]);
});

test("never repeats the key, whatever the API does with it", async () => {
  const answers: [status: number, headers: Record<string, string>, body: string][] = [
    [401, {}, JSON.stringify({ message: `The key ${KEY} is unknown`, error: KEY })],
    [400, {}, JSON.stringify({ error: "invalid", error_description: `Bearer ${KEY}`, code: KEY })],
    [422, {}, JSON.stringify({ message: "Bad", errors: [{ field: KEY, code: KEY, message: KEY }] })],
    [500, {}, `<html>${KEY}</html>`],
    [302, { location: `https://example.com/${KEY}` }, ""],
    [200, {}, `Hello ${KEY}`],
    [200, {}, JSON.stringify({ data: KEY, [KEY]: 1 })],
  ];
  const left = [...answers];
  using server = await startServer((request, response) => {
    const next = left.shift();
    if (next === undefined) request.socket.resetAndDestroy();
    else response.writeHead(next[0], next[1]).end(next[2]);
  });
  const fetchPage = clientOf(server);
  const troubles = [];
  for (let asked = 0; asked <= answers.length; asked += 1) troubles.push(await troubleOf(fetchPage()));
  expect(troubles.map((trouble) => inspect(trouble, { depth: null })).filter((text) => text.includes(KEY))).toEqual([]);
  expect(troubles[0]?.message).toBe("GET /events answered 401 Unauthorized: The key [key] is unknown");
});

test("goes by its own clock when the API tells no time that could be true", async () => {
  const dates = [undefined, "yesterday", "Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"];
  using server = await startServer((_, response) => {
    const date = dates.shift();
    response.sendDate = false;
    if (date !== undefined) response.setHeader("date", date);
    response.end(EMPTY_PAGE);
  });
  const fetchPage = clientOf(server);
  const before = instantOf(Date.now());
  const times = [];
  while (dates.length > 0) times.push((await fetchPage()).apiTime);
  const after = instantOf(Date.now());
  expect(times.filter((time) => time < before || time > after)).toEqual([]);
});

test("doubts an event that is more than two hours ahead of both clocks, the API's and its own", async () => {
  const hour = 3_600_000;
  const event = (id: string, atMs: number) =>
    `{"id":"${id}","event":"user.created","created_at":"${instantOf(atMs)}","data":{}}`;
  const answers = [0, 5 * hour, -5 * hour].map((aheadMs) => ({
    date: new Date(Date.now() + aheadMs).toUTCString(),
    body: `{"data":[${[1, 3, 8].map((hours) => event(`event_${hours}`, Date.now() + hours * hour))}]}`,
  }));
  using server = await startServer((_, response) => {
    const { date = "", body } = answers.shift() ?? {};
    response.setHeader("date", date).end(body);
  });
  const fetchPage = clientOf(server);
  const ends = [await fetchPage(), await fetchPage(), await fetchPage()].map(({ end }) => end?.after);
  expect(ends).toEqual(["event_1", "event_3", "event_1"]);
});

test("counts every attempt with its status, and the time that it took", async () => {
  await using api = await startApi(10);
  const done: { status: string; seconds: number }[] = [];
  const onRequest = (request: (typeof done)[number]) => void done.push(request);
  api.fail(faults.huge({ bytes: 700 * MIB }));
  await clientOf(api, { pageSize: 10, onRequest })();
  for (const fault of [
    faults.serverError(503),
    faults.reset(),
    faults.notJson(),
    faults.resetMidBody(),
    faults.hang(),
  ]) {
    api.fail(fault);
    await troubleOf(clientOf(api, { timeoutMs: 300, onRequest })());
  }
  expect(done.map(({ status }) => status)).toEqual(["error", "200", "503", "error", "200", "200", "error"]);
  expect(done.at(-1)?.seconds).toBeGreaterThanOrEqual(0.299);
  expect(done.at(-1)?.seconds).toBeLessThan(3);
});
