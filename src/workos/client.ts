import { getHeapStatistics } from "node:v8";
import type { EventPage, FetchPage, PageRequest } from "../event.ts";
import { addMs, type Instant, instantOf, laterOf } from "../instant.ts";
import { Trouble } from "../trouble.ts";
import { readBody, TooLarge } from "./body.ts";
import { requestIdOf, troubleOfAnswer, troubleOfNetwork } from "./errors.ts";
import { get } from "./get.ts";
import { readPage } from "./page.ts";
import { createLimiter, type RateLimit } from "./rate-limit.ts";

export interface ClientOptions {
  /** Without a trailing slash, such as `https://api.workos.com`. */
  baseUrl: string;
  /** Asked before every request, so that a rotated key is taken up without a restart. */
  readKey: () => Promise<string>;
  /** Events per request, 1-100. */
  pageSize: number;
  /** For headers and body together. */
  timeoutMs: number;
  rateLimit: RateLimit;
  userAgent: string;
  /** Called once for each attempt; `status` is an HTTP status, or `error` when there was no whole answer. */
  onRequest?: (request: { status: string; seconds: number }) => void;
}

/** An answer may not be larger than this, or memory would not be bounded; it is asked for again with a smaller limit. */
const LARGEST_PAGE_BYTES = 8 * 1024 * 1024;
/** A single event may be, as far as memory reaches; jsonb's own limit is close to the first of these. */
const LARGEST_EVENT_BYTES = Math.min(256 * 1024 * 1024, getHeapStatistics().heap_size_limit / 8);
/** How far ahead of both clocks, the API's and ours, an event may be: clocks differ. */
const EARLY_MS = 2 * 3_600_000;
const DECADES_MS = 1e12;
const LARGEST_ERROR_BYTES = 1024 * 1024;

/**
 * Makes the function that asks GET /events for one page. One call is one answer: it waits for the rate limiter, does
 * not retry (but for a smaller limit when an answer is too large), and throws a Trouble for everything that goes wrong,
 * or the signal's reason when it was told to stop.
 */
export function createClient(options: ClientOptions): FetchPage {
  const limiter = createLimiter(options.rateLimit);
  let limit = options.pageSize;
  let silence: { trouble: Trouble; untilMs: number } | undefined;

  /** The API asked to be left alone for a while: neither is sent what had waited for a place before that. */
  async function askUnlessSilent(...asked: Parameters<typeof askOnce>): Promise<EventPage> {
    if (silence !== undefined && performance.now() < silence.untilMs) throw silence.trouble;
    return askOnce(...asked).catch((error: unknown) => {
      if (error instanceof Trouble && error.retryAfterMs > 0) {
        silence = { trouble: error, untilMs: performance.now() + error.retryAfterMs };
      }
      throw error;
    });
  }

  async function fetchPage(request: PageRequest, signal: AbortSignal): Promise<EventPage> {
    const asked = limit;
    try {
      const { background } = request;
      const page = await limiter(() => askUnlessSilent(options, request, asked, signal), { signal, background });
      if (asked === limit && page.bytes * 2 < LARGEST_PAGE_BYTES) limit = Math.min(options.pageSize, asked * 2);
      return page;
    } catch (error) {
      const smaller = Math.floor(asked / 2);
      if (smaller > 0 && needsSmallerPage(error)) limit = smaller;
      if (!(error instanceof TooLarge)) throw error;
      if (smaller === 0) throw troubleOfHugeEvent(error);
      return fetchPage(request, signal);
    }
  }
  return fetchPage;
}

function needsSmallerPage(error: unknown): boolean {
  return error instanceof TooLarge || (error instanceof Trouble && error.code === "api_slow_body");
}

async function askOnce(
  options: ClientOptions,
  request: PageRequest,
  limit: number,
  signal: AbortSignal,
): Promise<EventPage> {
  const started = performance.now();
  const query = queryOf(request, limit);
  let status = "error";
  try {
    const answer = await withDeadline(options.timeoutMs, signal, (deadline, headersCame) =>
      send(options, query, limit, deadline, headersCame),
    );
    status = String(answer.status);
    const latest = addMs(laterOf(answer.origin.apiTime, instantOf(Date.now())), EARLY_MS);
    const { more, ...page } = readPage(answer.body, latest);
    const full = page.received >= limit;
    return { ...page, ...answer.origin, full, last: !full && !more, tookMs: performance.now() - started };
  } catch (error) {
    if (error instanceof Trouble && error.status !== undefined) status = String(error.status);
    throw error;
  } finally {
    options.onRequest?.({ status, seconds: (performance.now() - started) / 1000 });
  }
}

interface Answered {
  status: number;
  body: string;
  origin: Pick<EventPage, "request" | "requestId" | "apiTime" | "bytes">;
}

/** The answer to a GET /events with 200; every other one throws. */
async function send(
  options: ClientOptions,
  query: URLSearchParams,
  limit: number,
  signal: AbortSignal,
  headersCame: () => void,
): Promise<Answered> {
  const key = await options.readKey();
  const { status, headers, body } = await get(
    `${options.baseUrl}/events?${query}`,
    { authorization: `Bearer ${key}`, accept: "application/json", "user-agent": options.userAgent },
    signal,
  ).catch((error: unknown) => {
    throw signal.aborted ? signal.reason : troubleOfNetwork(error, new URL(options.baseUrl).host);
  });
  headersCame();
  const apiTimeMs = timeOf(headers.date);
  if (status !== 200) {
    const said = (await readBody(body, LARGEST_ERROR_BYTES).catch(() => ({ text: "" }))).text.replaceAll(key, "[key]");
    throw troubleOfAnswer({ status, headers, body: said, query, apiTimeMs });
  }
  const requestId = requestIdOf(headers);
  const { text, bytes } = await readBody(body, limit === 1 ? LARGEST_EVENT_BYTES : LARGEST_PAGE_BYTES);
  return {
    status,
    body: text,
    origin: {
      bytes,
      request: `/events?${query}`,
      ...(requestId === undefined ? {} : { requestId }),
      apiTime: instantOf(apiTimeMs),
    },
  };
}

/** The API's clock, in ms since the epoch; ours where it has none, or one that is decades off. */
function timeOf(date: string | undefined): number {
  const time = Date.parse(date ?? "");
  return Math.abs(time - Date.now()) < DECADES_MS ? time : Date.now();
}

/** Runs `work` with a signal that ends it after `timeoutMs` or when `signal` does, whichever is first. */
async function withDeadline<T>(
  timeoutMs: number,
  signal: AbortSignal,
  work: (deadline: AbortSignal, headersCame: () => void) => Promise<T>,
): Promise<T> {
  const deadline = new AbortController();
  const stop = () => deadline.abort(signal.reason);
  let waitingFor: "headers" | "body" = "headers";
  const timer = setTimeout(() => deadline.abort(troubleOfTimeout(timeoutMs, waitingFor)), timeoutMs);
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  try {
    return await work(deadline.signal, () => {
      waitingFor = "body";
    });
  } catch (error) {
    throw deadline.signal.aborted ? deadline.signal.reason : error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
}

function queryOf({ filter, from, rangeEnd }: PageRequest, limit: number): URLSearchParams {
  const query = new URLSearchParams({ order: "asc", limit: String(limit) });
  if ("after" in from) query.set("after", from.after);
  else query.set("range_start", isoOf(from.rangeStart));
  if (rangeEnd !== undefined) query.set("range_end", isoOf(roundedUp(rangeEnd)));
  for (const event of filter.events ?? []) query.append("events[]", event);
  if (filter.organizationId !== undefined) query.set("organization_id", filter.organizationId);
  return query;
}

/** Milliseconds, as the API's own samples have them: cut off, so that a start is never late. */
function isoOf(instant: Instant): string {
  return `${instant.slice(0, 23)}Z`;
}

/** To whole milliseconds, so that an exclusive end is never early. */
function roundedUp(instant: Instant): Instant {
  return instant.endsWith("000Z") ? instant : addMs(instant, 1);
}

function troubleOfTimeout(timeoutMs: number, waitingFor: "headers" | "body"): Trouble {
  return new Trouble(`GET /events: no whole answer within ${timeoutMs} ms (waiting for the ${waitingFor})`, {
    kind: "passing",
    code: waitingFor === "headers" ? "api_timeout" : "api_slow_body",
    hint: "retried by itself; if it lasts, raise REQUEST_TIMEOUT or lower PAGE_SIZE",
  });
}

function troubleOfHugeEvent(error: TooLarge): Trouble {
  return new Trouble(`GET /events: one event alone is larger than ${error.bytes} bytes`, {
    kind: "refused",
    code: "event_too_large",
    hint: "give the process more memory (NODE_OPTIONS=--max-old-space-size); beyond 256 MiB Postgres could not hold it",
  });
}
