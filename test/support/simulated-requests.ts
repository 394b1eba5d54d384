import type { IncomingHttpHeaders, IncomingMessage } from "node:http";

export interface RecordedRequest {
  /** performance.now() when the headers had arrived. */
  at: number;
  /** Date.now() at the same time. */
  wallMs: number;
  method: string;
  path: string;
  query: URLSearchParams;
  headers: IncomingHttpHeaders;
  /** Absent as long as no answer was begun. */
  status?: number;
  /** How many events the answer listed, when it was a page. */
  events?: number;
}

export function recordOf({ url = "/", method = "GET", headers }: IncomingMessage): RecordedRequest {
  const [path = "/", ...query] = url.split("?");
  const at = performance.now();
  return { at, wallMs: Date.now(), method, path, query: new URLSearchParams(query.join("?")), headers };
}

/** The largest number of requests that arrived within any stretch of this length. */
export function maxInWindow(requests: readonly RecordedRequest[], lengthMs: number): number {
  let first = 0;
  let most = 0;
  for (const [last, { at }] of requests.entries()) {
    while (at - (requests[first]?.at ?? at) >= lengthMs) first += 1;
    most = Math.max(most, last - first + 1);
  }
  return most;
}
