import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { EventGenerator } from "../../test/support/simulated-events.ts";
import { Arrivals } from "./arrivals.ts";
import { type History, makeHistory } from "./history.ts";
import { pageOf, Refused } from "./page.ts";

// An Events API that costs next to nothing, as a process of its own; bench/api/api.ts starts it and talks to it.

export interface Settings {
  /** From the arrival of a request to its answer. */
  latencyMs: number;
  /** Requests beyond it are answered with 429. */
  rateLimit: { requests: number; perMs: number } | null;
  /** New events, each created at the moment at which it appears. */
  eventsPerSecond: number;
}

export interface Told {
  requests: number;
  /** Pages with as many events as were asked for, with fewer, with none. */
  full: number;
  partial: number;
  empty: number;
  /** Of the empty ones: those that asked for what follows the newest event. */
  atHead: number;
  refused: number;
  /** Given out, repetitions included. */
  eventsSent: number;
  events: number;
  mostInWindow: number;
  /** Of one request more than the limit, by the clock of arrivals. */
  shortestOverLimitMs: number | null;
  /** Since the epoch; null before the first request. */
  firstArrivalMs: number | null;
}

export type Command =
  | { name: "set"; settings: Partial<Settings> }
  | { name: "reset" }
  | { name: "count created"; sinceMs: number; untilMs: number }
  | { name: "tell"; window: { requests: number; perMs: number } };

const history: History & { key: string } = JSON.parse(process.argv[2] ?? "{}");
const generator = new EventGenerator(history.seed ?? 1);
const log = makeHistory(history, generator, Date.now() - 1_000);
const arrivals = new Arrivals();
const settings: Settings = { latencyMs: 0, rateLimit: null, eventsPerSecond: 0 };
let emission: NodeJS.Timeout | undefined;
let counts = noCounts();

function noCounts() {
  return { full: 0, partial: 0, empty: 0, atHead: 0, refused: 0, eventsSent: 0 };
}

const server = createServer((request, response) => {
  const at = performance.now();
  arrivals.add(at);
  if (settings.latencyMs === 0) answer(request, response, at);
  else setTimeout(answer, settings.latencyMs, request, response, at);
});
server.keepAliveTimeout = 120_000;
server.listen(0, "127.0.0.1", () => process.send?.({ port: (server.address() as AddressInfo).port }));

function answer(request: IncomingMessage, response: ServerResponse, at: number): void {
  try {
    send(response, 200, bodyFor(request, at));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    send(response, error.status, [Buffer.from(JSON.stringify({ message: error.message }))]);
  }
}

function bodyFor(request: IncomingMessage, at: number): Buffer[] {
  const [path, query] = (request.url ?? "/").split("?");
  if (path !== "/events") throw new Refused("Not Found", 404);
  if (request.headers.authorization !== `Bearer ${history.key}`) throw new Refused("Unauthorized", 401);
  if (settings.rateLimit !== null && !arrivals.grant(at, settings.rateLimit)) {
    counts.refused += 1;
    throw new Refused("Too many requests.", 429);
  }
  const page = pageOf(log, new URLSearchParams(query), Date.now());
  count(page);
  return page.body;
}

function count({ events, full, atHead }: ReturnType<typeof pageOf>): void {
  counts.eventsSent += events;
  counts[events === 0 ? "empty" : full ? "full" : "partial"] += 1;
  if (events === 0 && atHead) counts.atHead += 1;
}

function send(response: ServerResponse, status: number, body: readonly Buffer[]): void {
  const length = body.reduce((sum, piece) => sum + piece.length, 0);
  response.writeHead(status, { "content-type": "application/json; charset=utf-8", "content-length": length });
  response.cork();
  for (const piece of body) response.write(piece);
  response.end();
  response.uncork();
}

function set(changed: Partial<Settings>): void {
  Object.assign(settings, changed);
  clearInterval(emission);
  if (settings.eventsPerSecond === 0) return;
  emission = setInterval(() => {
    const now = Date.now();
    // Never older than the last one: a list that is not ascending is refused as a whole.
    if (now >= log.timeAt(log.length - 1)) log.append(generator.next(now));
  }, 1000 / settings.eventsPerSecond);
}

function tell({ requests, perMs }: { requests: number; perMs: number }): Told {
  const shortest = arrivals.shortestOf(requests);
  const { first } = arrivals;
  return {
    ...counts,
    firstArrivalMs: first === undefined ? null : performance.timeOrigin + first,
    requests: arrivals.count,
    events: log.length,
    mostInWindow: arrivals.mostWithin(perMs),
    shortestOverLimitMs: Number.isFinite(shortest) ? shortest : null,
  };
}

function carryOut(command: Command): unknown {
  switch (command.name) {
    case "set":
      return set(command.settings);
    case "reset":
      arrivals.reset();
      counts = noCounts();
      return;
    case "count created":
      return log.firstAtOrAfter(command.untilMs) - log.firstAtOrAfter(command.sinceMs);
    case "tell":
      return tell(command.window);
  }
}

process.on("message", (command: Command) => process.send?.({ answer: carryOut(command) }));
process.once("disconnect", () => process.exit());
