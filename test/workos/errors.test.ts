import { expect, test } from "vitest";
import type { Trouble } from "../../src/trouble.ts";
import { troubleOfAnswer, troubleOfNetwork } from "../../src/workos/errors.ts";

const API_TIME = Date.parse("2026-08-20T12:00:00Z");

interface Answer {
  status: number;
  body?: unknown;
  headers?: Record<string, string>;
  query?: string;
}

/** A Trouble as data, without what is absent. */
function dataOf({ message, kind, code, hint, retryAfterMs, status, requestId, subject }: Trouble) {
  const fields = {
    message,
    kind,
    code,
    hint,
    retryAfterMs: retryAfterMs === 0 ? undefined : retryAfterMs,
    status,
    requestId,
    subject,
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** What becomes of an answer; a `body` that is no text is sent as JSON. */
function answered({ status, body = "", headers = {}, query = "range_start=2026-08-01" }: Answer): Trouble {
  return troubleOfAnswer({
    status,
    headers,
    body: typeof body === "string" ? body : JSON.stringify(body),
    query: new URLSearchParams(`order=asc&${query}`),
    apiTimeMs: API_TIME,
  });
}

const told = (answer: Answer) => dataOf(answered(answer));

const waited = (headers: Record<string, string>, body: unknown = "", status = 429) =>
  told({ status, headers, body }).retryAfterMs ?? 0;

const hints = {
  limited: "another program with the same key may be using up the limit; lower RATE_LIMIT to leave it room",
  redirected: "redirects are not followed, so that the key goes nowhere else: set WORKOS_BASE_URL to the final address",
  unauthorized:
    "check that WORKOS_API_KEY starts with sk_, belongs to this environment and is active in the WorkOS dashboard",
  forbidden: "give the API key permission to read events in the WorkOS dashboard",
  refused: "check WORKOS_BASE_URL, WORKOS_EVENTS and WORKOS_ORGANIZATION_ID against the message",
};

test("says what the API said, in every shape that its errors have", () => {
  const html = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>";
  const shapes: [body: unknown, said: string][] = [
    [{ message: "Something broke.", code: "broken", error: "Server Error" }, ": Something broke.; broken"],
    [{ message: "Broken", errors: [{ field: "limit", code: "too_big" }, { code: "b" }] }, ": Broken; limit too_big, b"],
    [{ message: "Broken\n  twice" }, ": Broken twice"],
    [{ error: "server_error", error_description: "Something broke." }, ": Something broke."],
    [{ error: "server_error" }, ": server_error"],
    [{ message: 17, code: null, error: ["x"], errors: "none" }, ""],
    [
      {
        message: "Broken",
        errors: [
          { field: null, code: "b" },
          { field: "limit", code: 7 },
        ],
      },
      ": Broken; b, limit",
    ],
    [{ message: "Broken", errors: ["limit"] }, ": Broken"],
    [html, ""],
    ["", ""],
    ["null", ""],
    ['"oops"', ""],
    ["[]", ""],
    ["{", ""],
    [{ message: "x".repeat(1000) }, `: ${"x".repeat(300)}`],
  ];
  expect(shapes.map(([body]) => told({ status: 500, body }))).toEqual(
    shapes.map(([, said]) => ({
      message: `GET /events answered 500 Internal Server Error${said}`,
      kind: "passing",
      code: "api_failing",
      status: 500,
    })),
  );
});

test("keeps the request id, for WorkOS's support, and the API's clock", () => {
  const { requestId, apiTime } = answered({ status: 503, headers: { "x-request-id": "req_1" } });
  expect({ requestId, apiTime }).toEqual({ requestId: "req_1", apiTime: "2026-08-20T12:00:00.000000Z" });
});

test("retries what may pass: 5xx known and unknown, request time-outs, and answers that are no page", () => {
  const statuses = [202, 204, 206, 408, 425, 500, 502, 503, 504, 520, 599];
  const kinds = statuses.map((status) => told({ status, query: "after=event_1" }));
  expect(kinds.map(({ kind, code, status }) => [kind, code, status])).toEqual(
    statuses.map((status) => ["passing", "api_failing", status]),
  );
  expect(told({ status: 520 }).message).toBe("GET /events answered 520");
});

test("obeys a 429, and says whose fault it may be", () => {
  const body = { message: "Too many requests.", error: "rate_limit_exceeded", retry_after: 3 };
  expect(told({ status: 429, body })).toEqual({
    message: "GET /events answered 429 Too Many Requests: Too many requests.",
    kind: "passing",
    code: "api_rate_limited",
    hint: hints.limited,
    retryAfterMs: 3000,
    status: 429,
  });
});

test("waits as long as Retry-After says: in seconds, by a date of the API's clock, or in the body", () => {
  const inSeconds = (seconds: number) => new Date(API_TIME + seconds * 1000).toUTCString();
  expect([
    waited({ "retry-after": "7" }),
    waited({ "retry-after": " 1.5 " }),
    waited({ "retry-after": inSeconds(12) }),
    waited({}, { retry_after: 4 }),
    waited({}, { retry_after: "2.5" }),
    waited({ "retry-after": "7" }, { retry_after: 4 }),
    waited({ "retry-after": "soon" }, { retry_after: 4 }),
    waited({ "retry-after": "9" }, "", 503),
    waited({ "retry-after": inSeconds(5) }, "", 500),
  ]).toEqual([7000, 1500, 12_000, 4000, 2500, 7000, 4000, 9000, 5000]);
});

test("believes no Retry-After that lies in the past, makes no sense, or would silence the mirror beyond an hour", () => {
  expect([
    waited({}),
    waited({ "retry-after": "0" }),
    waited({ "retry-after": "-5" }),
    waited({ "retry-after": new Date(API_TIME - 60_000).toUTCString() }),
    waited({ "retry-after": "soon" }),
    waited({ "retry-after": "" }),
    waited({}, { retry_after: -3 }),
    waited({}, { retry_after: "soon" }),
    waited({ "retry-after": "86400" }),
    waited({ "retry-after": "9".repeat(400) }),
    waited({ "retry-after": "Fri, 31 Dec 9999 23:59:59 GMT" }),
    waited({}, { retry_after: 1e300 }),
  ]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 3_600_000, 3_600_000, 3_600_000, 3_600_000]);
});

test("does not retry fast what only a person can mend, and says what to do", () => {
  const answers: [status: number, body: unknown, said: string, code: string, hint: string][] = [
    [401, { message: "Unauthorized" }, "401 Unauthorized: Unauthorized", "api_unauthorized", hints.unauthorized],
    [403, { error: "access_denied" }, "403 Forbidden: access_denied", "api_forbidden", hints.forbidden],
    [403, "<html>", "403 Forbidden", "api_forbidden", hints.forbidden],
    [301, "", "301 Moved Permanently", "api_redirected", hints.redirected],
    [302, "", "302 Found", "api_redirected", hints.redirected],
    [307, "", "307 Temporary Redirect", "api_redirected", hints.redirected],
    [400, { message: "Bad" }, "400 Bad Request: Bad", "api_refused", hints.refused],
    [404, { message: "Not Found" }, "404 Not Found: Not Found", "api_refused", hints.refused],
    [418, "", "418 I'm a Teapot", "api_refused", hints.refused],
    [
      422,
      { message: "Bad", errors: [{ field: "limit" }] },
      "422 Unprocessable Entity: Bad; limit",
      "api_refused",
      hints.refused,
    ],
  ];
  expect(answers.map(([status, body]) => told({ status, body }))).toEqual(
    answers.map(([status, , said, code, hint]) => ({
      message: `GET /events answered ${said}`,
      kind: "refused",
      code,
      hint,
      status,
    })),
  );
});

/** The code, and the subject where there is one, of a refusal with this body. */
function codeOf(status: number, query: string, body: unknown): unknown[] {
  const { kind, code, subject } = told({ status, query, body });
  return [kind, code, ...(subject === undefined ? [] : [subject])];
}

const field = (name: string, code = "invalid") => ({ message: "Validation failed", errors: [{ field: name, code }] });

test("notices that the API wants the event types spelled out, unless they were", () => {
  expect([
    codeOf(422, "range_start=2026-08-01", field("events", "required")),
    codeOf(422, "after=event_1", field("events[]", "is_required")),
    codeOf(400, "after=event_1", field("events", "required")),
    codeOf(422, "after=event_1&events[]=user.created", field("events", "required")),
    codeOf(422, "after=event_1", field("events", "invalid")),
    codeOf(422, "after=event_1", field("organization_id", "required")),
  ]).toEqual([
    ["refused", "filter_required"],
    ["refused", "filter_required"],
    ["refused", "filter_required"],
    ["refused", "api_refused"],
    ["refused", "api_refused"],
    ["refused", "api_refused"],
  ]);
});

const rejection = (name: string) => ({
  message: `Invalid name parameter, received: '${name}'. You must pass in valid event names`,
  code: "invalid_events_request",
});

test("names the event type that the API rejects, however it is quoted, and only one that was asked for", () => {
  const query = "after=event_1&events[]=user.created&events[]=user.created_x&events[]=user-oops";
  expect([
    codeOf(400, query, rejection("user.created_x")),
    codeOf(400, query, rejection("user-oops")),
    codeOf(422, query, { message: "Unknown event user.created." }),
    codeOf(422, query, { message: "Bad", errors: [{ field: "events", message: '"user.created_x" is unknown' }] }),
    codeOf(400, query, { error: "invalid", error_description: "user.created, is no event" }),
    codeOf(400, query, rejection("user")),
    codeOf(400, query, rejection("user.created_xy")),
    codeOf(400, query, rejection("session.created")),
    codeOf(400, "after=event_1", rejection("user.created")),
  ]).toEqual([
    ["refused", "event_type_rejected", "user.created_x"],
    ["refused", "event_type_rejected", "user-oops"],
    ["refused", "event_type_rejected", "user.created"],
    ["refused", "event_type_rejected", "user.created_x"],
    ["refused", "event_type_rejected", "user.created"],
    ["refused", "api_refused"],
    ["refused", "api_refused"],
    ["refused", "api_refused"],
    ["refused", "api_refused"],
  ]);
});

test("tells a cursor that the API no longer knows from a start that it no longer has", () => {
  const invalidCursor = { message: "Invalid pagination cursor.", code: "invalid_cursor" };
  const tooOld = { message: "range_start must be within the last 90 days" };
  expect([
    codeOf(400, "after=event_1", invalidCursor),
    codeOf(404, "after=event_1", { message: "Not Found" }),
    codeOf(410, "after=event_1", ""),
    codeOf(422, "after=event_1&range_end=2026-08-02", field("after")),
    codeOf(422, "after=event_1&events[]=user.created", field("cursor")),
    codeOf(400, "after=event_1", { message: "Bad", errors: [{ code: "invalid_cursor" }] }),
    codeOf(422, "after=event_1", field("limit")),
    codeOf(422, "range_start=2026-08-01", field("range_start")),
    codeOf(400, "range_start=2026-08-01&events[]=user.created", tooOld),
    codeOf(422, "range_start=2026-08-01", field("range_end")),
    codeOf(400, "range_start=2026-08-01", invalidCursor),
  ]).toEqual([
    ["refused", "cursor_rejected"],
    ["refused", "cursor_rejected"],
    ["refused", "cursor_rejected"],
    ["refused", "cursor_rejected"],
    ["refused", "cursor_rejected"],
    ["refused", "cursor_rejected"],
    ["refused", "api_refused"],
    ["refused", "range_start_rejected"],
    ["refused", "range_start_rejected"],
    ["refused", "api_refused"],
    ["refused", "api_refused"],
  ]);
});

test("says why there was no answer at all, down to the cause, and keeps the error", () => {
  const reset = Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" });
  const trouble = troubleOfNetwork(reset, "api.workos.com");
  const refused = new AggregateError([new Error("connect ECONNREFUSED ::1:80"), new Error("connect ECONNREFUSED")]);
  expect(dataOf(trouble)).toEqual({
    message: "no answer from api.workos.com: read ECONNRESET",
    kind: "passing",
    code: "api_unreachable",
    hint: "retried by itself; if it lasts, check the network, DNS, proxy and certificates between here and the API",
  });
  expect(trouble.cause).toBe(reset);
  expect(troubleOfNetwork(refused, "localhost").message).toMatch(
    /^no answer from localhost: .*connect ECONNREFUSED ::1:80$/,
  );
});
