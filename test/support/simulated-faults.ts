import type { SimulatedEvent } from "./simulated-events.ts";
import type { EventList } from "./simulated-list.ts";
import { eventsUpTo, type Page } from "./simulated-page.ts";
import type { Query } from "./simulated-query.ts";

/** Instead of the answer. */
type ReplacingFault =
  | { kind: "status"; status: number; body?: string; headers?: Record<string, string> }
  | { kind: "reset" }
  | { kind: "hang" };

/** In the way the answer is sent. */
type DeliveryFault =
  | { kind: "resetMidBody" }
  | { kind: "hangMidBody" }
  | { kind: "slowDrip"; bytesPerSecond: number }
  | { kind: "truncated" }
  | { kind: "huge"; bytes: number; declared: boolean };

/** In the page itself, which is well-formed all the same. */
type PageFault =
  | { kind: "duplicates" }
  | { kind: "overlap"; by: number }
  | { kind: "descending" }
  | { kind: "stuck" }
  | { kind: "emptyPage" };

export type Fault = ReplacingFault | DeliveryFault | PageFault;

const json = { "content-type": "application/json; charset=utf-8" };
const html = { "content-type": "text/html; charset=utf-8" };
const badGateway = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>";

function jsonStatus(status: number, body: Record<string, unknown>, headers: Record<string, string> = {}): Fault {
  return { kind: "status", status, body: JSON.stringify(body), headers: { ...json, ...headers } };
}

/** `retryAfter`: seconds or a date go into the header, `body` puts `retry_after` (of `seconds`) into the body. */
function tooManyRequests({
  retryAfter,
  seconds = 1,
}: {
  retryAfter?: number | Date | "body";
  seconds?: number;
} = {}): Fault {
  const body = { message: "Too many requests.", error: "rate_limit_exceeded" };
  if (retryAfter === undefined) return jsonStatus(429, body);
  if (retryAfter === "body") return jsonStatus(429, { ...body, retry_after: seconds });
  const header = retryAfter instanceof Date ? retryAfter.toUTCString() : String(retryAfter);
  return jsonStatus(429, body, { "retry-after": header });
}

function serverError(status = 500, form: "json" | "html" | "empty" = "json"): Fault {
  if (form === "html") return { kind: "status", status, body: badGateway, headers: html };
  if (form === "empty") return { kind: "status", status };
  return jsonStatus(status, { message: "Internal server error." });
}

export const faults = {
  status: (status: number, body = "", headers: Record<string, string> = {}): Fault => ({
    kind: "status",
    status,
    body,
    headers,
  }),
  tooManyRequests,
  serverError,
  unauthorized: () => jsonStatus(401, { message: "Unauthorized" }),
  forbidden: () => jsonStatus(403, { error: "access_denied", error_description: "This key may not read events." }),
  notFound: () => jsonStatus(404, { message: "Not Found", error: "Not Found" }),
  redirect: (location: string, status = 302) => jsonStatus(status, {}, { location }),
  /** The connection ends before any header. */
  reset: (): Fault => ({ kind: "reset" }),
  /** Headers and half of the body, then the connection ends. */
  resetMidBody: (): Fault => ({ kind: "resetMidBody" }),
  /** No header ever comes. */
  hang: (): Fault => ({ kind: "hang" }),
  /** Headers and half of the body, then silence. */
  hangMidBody: (): Fault => ({ kind: "hangMidBody" }),
  slowDrip: (options: { bytesPerSecond: number }): Fault => ({ kind: "slowDrip", ...options }),
  /** Complete HTTP, but the JSON stops in the middle. */
  truncated: (): Fault => ({ kind: "truncated" }),
  notJson: (): Fault => ({ kind: "status", status: 200, body: badGateway, headers: html }),
  wrongShape: (body = '{"data":{}}'): Fault => ({ kind: "status", status: 200, body, headers: json }),
  /** A page of 100 events has so many bytes, a shorter one proportionally fewer. `declared`: by a content-length. */
  huge: ({ bytes, declared = false }: { bytes: number; declared?: boolean }): Fault => ({
    kind: "huge",
    bytes,
    declared,
  }),
  /** Every third event of the page comes twice. */
  duplicates: (): Fault => ({ kind: "duplicates" }),
  /** The page starts so many events before the cursor. */
  overlap: ({ by }: { by: number }): Fault => ({ kind: "overlap", by }),
  /** The page backwards, whatever order was asked for. */
  descending: (): Fault => ({ kind: "descending" }),
  /** The page leads up to the cursor's own event and not beyond. */
  stuck: (): Fault => ({ kind: "stuck" }),
  /** As if nothing newer existed. */
  emptyPage: (): Fault => ({ kind: "emptyPage" }),
};

export function distort(page: Page, fault: Fault | undefined, list: EventList, query: Query): Page {
  const events = distorted(page.events, fault, list, query);
  if (events === page.events) return page;
  const more = page.after !== null || events.length > query.limit;
  const kept = events.slice(0, query.limit);
  return { events: kept, before: kept[0]?.id ?? null, after: more ? (kept.at(-1)?.id ?? null) : null };
}

function distorted(
  events: readonly SimulatedEvent[],
  fault: Fault | undefined,
  list: EventList,
  query: Query,
): readonly SimulatedEvent[] {
  const cursor = query.after === null ? undefined : list.placeOf(query.after);
  switch (fault?.kind) {
    case "duplicates":
      return events.flatMap((event, place) => (place % 3 === 0 ? [event, event] : [event]));
    case "overlap":
      return cursor === undefined ? events : [...eventsUpTo(list, query, cursor, fault.by), ...events];
    case "stuck":
      return cursor === undefined ? events : eventsUpTo(list, query, cursor, Math.min(3, query.limit));
    case "descending":
      return events.toReversed();
    case "emptyPage":
      return [];
    default:
      return events;
  }
}

interface Queued<Request> {
  fault: Fault;
  remaining: number;
  when: (request: Request) => boolean;
}

/** Faults that wait for the requests that they are meant for, in order. */
export class FaultQueue<Request> {
  private waiting: Queued<Request>[] = [];

  /** How many requests are still to be met by a fault. */
  get pending(): number {
    return this.waiting.reduce((sum, { remaining }) => sum + remaining, 0);
  }

  add(queued: Queued<Request>): void {
    this.waiting.push(queued);
  }

  clear(): void {
    this.waiting = [];
  }

  take(request: Request): Fault | undefined {
    const first = this.waiting.find(({ when }) => when(request));
    if (first === undefined) return undefined;
    first.remaining -= 1;
    this.waiting = this.waiting.filter(({ remaining }) => remaining > 0);
    return first.fault;
  }
}
