import type { IncomingHttpHeaders } from "node:http";
import * as z from "zod";
import { instantOf } from "../instant.ts";
import { STATUS_CODES } from "../node-http.ts";
import { messageOf, Trouble, type TroubleDetails } from "../trouble.ts";

/** A Retry-After beyond this is not believed: a broken proxy must not silence the mirror for days. */
const LONGEST_RETRY_AFTER_MS = 3_600_000;

const Text = z.string().optional().catch(undefined);
const ErrorBody = z.object({
  message: Text,
  code: Text,
  error: Text,
  error_description: Text,
  retry_after: z.coerce.number().nonnegative().optional().catch(undefined),
  errors: z
    .array(z.object({ field: Text, code: Text, message: Text }))
    .optional()
    .catch(undefined),
});
type ErrorBody = z.infer<typeof ErrorBody>;

/** What is needed of an HTTP answer that is not 200. */
export interface ErrorAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  /** Any of the API's shapes, HTML of a proxy, or nothing at all. */
  body: string;
  /** The query that was sent. */
  query: URLSearchParams;
  /** When the answer came, in ms since the epoch by the API's clock. */
  apiTimeMs: number;
}

/** Turns an answer that is not 200 into a Trouble; `code` tells the refusals apart that the mirror can get around. */
export function troubleOfAnswer(answer: ErrorAnswer): Trouble {
  const body = readErrorBody(answer.body);
  const requestId = requestIdOf(answer.headers);
  const said = sentenceOf(body);
  const status = `${answer.status} ${STATUS_CODES[answer.status] ?? ""}`.trim();
  return new Trouble(`GET /events answered ${status}${said ? `: ${said}` : ""}`, {
    ...classify(answer, body),
    status: answer.status,
    apiTime: instantOf(answer.apiTimeMs),
    ...(requestId === undefined ? {} : { requestId }),
  });
}

export function requestIdOf(headers: IncomingHttpHeaders): string | undefined {
  return headers["x-request-id"]?.toString();
}

/** Turns what comes instead of an answer (refused, reset, DNS, TLS) into a Trouble. */
export function troubleOfNetwork(error: unknown, host: string): Trouble {
  return new Trouble(`no answer from ${host}: ${messageOf(error)}`, {
    kind: "passing",
    code: "api_unreachable",
    hint: "retried by itself; if it lasts, check the network, DNS, proxy and certificates between here and the API",
    cause: error,
  });
}

function classify(answer: ErrorAnswer, body: ErrorBody): TroubleDetails {
  const { status } = answer;
  if (status === 429) {
    const retryAfterMs = readRetryAfter(answer, body);
    return {
      kind: "passing",
      code: "api_rate_limited",
      hint: "another program with the same key may be using up the limit; lower RATE_LIMIT to leave it room",
      retryAfterMs,
    };
  }
  if (status >= 500 || status === 408 || status === 425 || status < 300) {
    return { kind: "passing", code: "api_failing", retryAfterMs: readRetryAfter(answer, body) };
  }
  if (status >= 300 && status < 400) {
    return {
      kind: "refused",
      code: "api_redirected",
      hint: "redirects are not followed, so that the key goes nowhere else: set WORKOS_BASE_URL to the final address",
    };
  }
  if (status === 401) {
    return {
      kind: "refused",
      code: "api_unauthorized",
      hint: "check that WORKOS_API_KEY starts with sk_, belongs to this environment and is active in the WorkOS dashboard",
    };
  }
  if (status === 403) {
    return {
      kind: "refused",
      code: "api_forbidden",
      hint: "give the API key permission to read events in the WorkOS dashboard",
    };
  }
  return { kind: "refused", ...classifyParameter(answer.query, body) };
}

function classifyParameter(query: URLSearchParams, body: ErrorBody): Omit<TroubleDetails, "kind"> {
  const fields = body.errors?.map((error) => error.field ?? "") ?? [];
  const sentTypes = query.getAll("events[]");
  if (sentTypes.length === 0 && body.errors?.some((error) => isFilterRequired(error.field, error.code))) {
    return { code: "filter_required" };
  }
  const refusedType = sentTypes.length > 0 ? refusedTypeOf(body, sentTypes) : undefined;
  if (refusedType !== undefined) return { code: "event_type_rejected", subject: refusedType };
  if (query.has("range_start") && mentions(body, "range_start")) return { code: "range_start_rejected" };
  const otherField = fields.some((field) => field !== "" && !/after|cursor/.test(field));
  if (query.has("after") && !otherField && body.code !== "invalid_events_request") {
    return {
      code: "cursor_rejected",
      hint: "the cursor is given up for its time; if this lasts, check WORKOS_BASE_URL",
    };
  }
  return {
    code: "api_refused",
    hint: "check WORKOS_BASE_URL, WORKOS_EVENTS and WORKOS_ORGANIZATION_ID against the message",
  };
}

function isFilterRequired(field: string | undefined, code: string | undefined): boolean {
  return /^events(\[\])?$/.test(field ?? "") && /required/.test(code ?? "");
}

/** The API names one unknown type: "Invalid name parameter, received: 'x'. You must pass in valid event names". */
function refusedTypeOf(body: ErrorBody, sentTypes: readonly string[]): string | undefined {
  const words = new Set(
    wholeText(body)
      .split(/[^\w.-]+/)
      .map((word) => word.replace(/[.-]+$/, "")),
  );
  return sentTypes.find((type) => words.has(type));
}

function mentions(body: ErrorBody, word: string): boolean {
  return wholeText(body).includes(word);
}

function wholeText(body: ErrorBody): string {
  const errors = body.errors?.map((error) => `${error.field ?? ""} ${error.message ?? ""}`) ?? [];
  return [body.message, body.error, body.error_description, ...errors].join(" ");
}

function readErrorBody(text: string): ErrorBody {
  try {
    return ErrorBody.catch({}).parse(JSON.parse(text));
  } catch {
    return {};
  }
}

/** One line of what the API said of itself: never more than a few hundred characters in a log. */
function sentenceOf(body: ErrorBody): string {
  const fields = body.errors?.map((error) => [error.field, error.code].filter(Boolean).join(" ")).join(", ");
  const parts = [body.message ?? body.error_description ?? body.error, body.code, fields];
  return parts.filter(Boolean).join("; ").replace(/\s+/g, " ").slice(0, 300);
}

function readRetryAfter(answer: ErrorAnswer, body: ErrorBody): number {
  const header = answer.headers["retry-after"]?.trim();
  const seconds = header !== undefined && /^\d+(\.\d+)?$/.test(header) ? Number(header) : body.retry_after;
  const untilMs = header === undefined ? Number.NaN : Date.parse(header) - answer.apiTimeMs;
  const waitMs = seconds === undefined ? untilMs : seconds * 1000;
  return Number.isNaN(waitMs) ? 0 : Math.min(Math.max(waitMs, 0), LONGEST_RETRY_AFTER_MS);
}
