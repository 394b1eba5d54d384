import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { type Answer, deliver } from "./simulated-delivery.ts";
import { EventGenerator, type SimulatedEvent } from "./simulated-events.ts";
import { distort, type Fault, FaultQueue } from "./simulated-faults.ts";
import { EventList } from "./simulated-list.ts";
import { retentionEdge, selectPage } from "./simulated-page.ts";
import { type ApiRules, parseQuery, Refusal } from "./simulated-query.ts";
import { maxInWindow, type RecordedRequest, recordOf } from "./simulated-requests.ts";

export { type Fault, faults } from "./simulated-faults.ts";
export type { RecordedRequest } from "./simulated-requests.ts";

/** What may be changed while the API runs. */
export interface SimulatedApiSettings extends ApiRules {
  apiKey: string;
  latencyMs: number;
  /** More requests than these in any `perMs` get 429; those that got one do not count. */
  rateLimit: { requests: number; perMs: number } | null;
}

export interface SimulatedApiOptions extends Partial<SimulatedApiSettings> {
  host?: string;
  port?: number;
  events?: readonly SimulatedEvent[];
  /** Makes the live events; the one that made the history goes on with the same organizations and users. */
  generator?: EventGenerator;
}

const defaults: SimulatedApiSettings = {
  apiKey: "sk_test_simulated",
  now: Date.now,
  latencyMs: 0,
  holdBackMs: 0,
  windowDays: 30,
  cursorWindow: "cursor",
  retentionDays: 90,
  order: "honours",
  unknownCursor: "reject",
  staleStart: "oldest",
  filterRequired: false,
  knownTypes: null,
  rateLimit: null,
};

export async function startSimulatedApi(options: SimulatedApiOptions = {}): Promise<SimulatedApi> {
  const { host = "127.0.0.1", port = 0, events = [], generator = new EventGenerator(0x11fe), ...settings } = options;
  const api = new SimulatedApi({ ...defaults, ...settings }, events, generator);
  await api.listen(host, port);
  return api;
}

/** GET /events as WorkOS describes it, over a list that grows, with faults on demand and a record of every request. */
export class SimulatedApi {
  readonly options: SimulatedApiSettings;
  readonly requests: RecordedRequest[] = [];
  url = "";
  private readonly list: EventList;
  private readonly generator: EventGenerator;
  private readonly faults = new FaultQueue<RecordedRequest>();
  private readonly server: Server;
  private closing = new AbortController();
  private address = { host: "", port: 0 };
  private readonly timers = new Set<NodeJS.Timeout>();
  private granted: number[] = [];
  private served = 0;

  constructor(options: SimulatedApiSettings, events: readonly SimulatedEvent[], generator: EventGenerator) {
    this.options = options;
    this.list = new EventList(events);
    this.generator = generator;
    this.server = createServer((request, response) => void this.serve(request, response));
    this.server.keepAliveTimeout = 60_000;
  }

  async listen(host: string, port: number): Promise<void> {
    this.server.listen(port, host);
    await once(this.server, "listening");
    const { port: actual } = this.server.address() as AddressInfo;
    this.address = { host, port: actual };
    this.url = `http://${host.includes(":") ? `[${host}]` : host}:${actual}`;
  }

  get apiKey(): string {
    return this.options.apiKey;
  }

  /** Everything that ever happened, in list order; what is older than the retention is still here. */
  get events(): readonly SimulatedEvent[] {
    return this.list.events;
  }

  /** What the API can still give. */
  get keptEvents(): readonly SimulatedEvent[] {
    return this.list.events.slice(this.list.firstAtOrAfter(retentionEdge(this.options)));
  }

  /** So many new events that happen now, or these events, each in its place by time. */
  emit(what: number | readonly SimulatedEvent[]): readonly SimulatedEvent[] {
    const happened = typeof what === "number" ? this.happenNow(what) : what;
    for (const event of happened) this.list.insert(event);
    return happened;
  }

  /** The function that it returns stops it. `count` may be a function, for batches of changing size. */
  emitEvery(intervalMs: number, count: number | (() => number)): () => void {
    const timer = setInterval(() => this.emit(typeof count === "number" ? count : count()), intervalMs);
    this.timers.add(timer);
    return () => {
      clearInterval(timer);
      this.timers.delete(timer);
    };
  }

  /** An event, or one made up for this time, that turns up behind cursors that have already passed it. */
  insertLate(what: SimulatedEvent | number): SimulatedEvent {
    const event = typeof what === "number" ? this.newEvent(what) : what;
    this.list.insert(event);
    return event;
  }

  /** An element with exactly this text at the end of the list. What filters and cursors need is read out of the text. */
  emitRaw(text: string, known: Partial<Omit<SimulatedEvent, "text">> = {}): SimulatedEvent {
    const timeMs = Math.max(known.timeMs ?? this.options.now(), this.list.at(this.list.length - 1)?.timeMs ?? 0);
    const event = { organizationId: null, ...readableParts(text), ...known, timeMs, text };
    this.list.insert(event);
    return event;
  }

  /** The next requests, or the next ones that match, meet this fault. Faults queue up. */
  fail(fault: Fault, { times = 1, when = () => true }: FailOptions = {}): void {
    this.faults.add({ fault, remaining: times, when });
  }

  clearFaults(): void {
    this.faults.clear();
  }

  /** How many requests are still to be met by a fault. */
  get pendingFaults(): number {
    return this.faults.pending;
  }

  /** The largest number of requests that arrived within any stretch of this length. */
  maxInWindow(lengthMs = 10_000): number {
    return maxInWindow(this.requests, lengthMs);
  }

  /** Ends the emission, open requests and connections. */
  async close(): Promise<void> {
    for (const timer of this.timers) clearInterval(timer);
    await this.goDown();
  }

  /** Nothing listens any more, and answers under way break off. Events may happen all the same. */
  async goDown(): Promise<void> {
    this.closing.abort();
    const closed = once(this.server, "close");
    this.server.close();
    this.server.closeAllConnections();
    await closed;
  }

  /** Where it was before it went down. */
  async comeBack(): Promise<void> {
    this.closing = new AbortController();
    await this.listen(this.address.host, this.address.port);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  private happenNow(count: number): SimulatedEvent[] {
    const timeMs = Math.max(Math.floor(this.options.now()), Math.ceil(this.list.at(this.list.length - 1)?.timeMs ?? 0));
    return Array.from({ length: count }, () => this.newEvent(timeMs));
  }

  private newEvent(timeMs: number): SimulatedEvent {
    const event = this.generator.next(timeMs);
    return this.list.placeOf(event.id) === undefined ? event : this.newEvent(timeMs);
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const recorded = recordOf(request);
    this.requests.push(recorded);
    const closing = this.closing.signal;
    const fault = this.faults.take(recorded);
    try {
      if (this.options.latencyMs > 0) await sleep(this.options.latencyMs, undefined, { signal: closing });
      if (fault?.kind === "hang") return;
      if (fault?.kind === "reset") {
        request.socket.resetAndDestroy();
        return;
      }
      const answer = this.answer(recorded, fault);
      recorded.status = answer.status;
      if (answer.events !== undefined) recorded.events = answer.events;
      await deliver(response, answer, fault, closing);
    } catch (error) {
      if (!closing.aborted) throw error;
    }
  }

  private answer(request: RecordedRequest, fault: Fault | undefined): Answer {
    this.served += 1;
    const headers = {
      date: new Date(this.options.now()).toUTCString(),
      "x-request-id": `00000000-0000-4000-8000-${String(this.served).padStart(12, "0")}`,
    };
    if (fault?.kind === "status") {
      return { status: fault.status, headers: { ...headers, ...fault.headers }, body: fault.body ?? "" };
    }
    const json = { ...headers, "content-type": "application/json; charset=utf-8" };
    try {
      return { status: 200, headers: json, ...this.page(request, fault) };
    } catch (error) {
      if (error instanceof Refusal) return { status: error.status, headers: json, body: error.body };
      throw error;
    }
  }

  private page(request: RecordedRequest, fault: Fault | undefined): { body: string; events: number } {
    this.admit(request);
    const query = parseQuery(request.query, this.options);
    const page = distort(selectPage(this.list, query, this.options), fault, this.list, query);
    const { events, before, after } = page;
    const data = events.map((event) => event.text).join(",");
    const metadata = JSON.stringify({ before: before || null, after: after || null });
    return { body: `{"object":"list","data":[${data}],"list_metadata":${metadata}}`, events: events.length };
  }

  private admit({ method, path, headers, at }: RecordedRequest): void {
    if (method !== "GET" || path !== "/events") throw new Refusal(404, { message: "Not Found", error: "Not Found" });
    if (headers.authorization !== `Bearer ${this.apiKey}`) throw new Refusal(401, { message: "Unauthorized" });
    const { rateLimit } = this.options;
    if (rateLimit === null) return;
    this.granted = this.granted.filter((granted) => at - granted < rateLimit.perMs);
    if (this.granted.length >= rateLimit.requests) throw new Refusal(429, { message: "Too many requests." });
    this.granted.push(at);
  }
}

interface FailOptions {
  times?: number;
  when?: (request: RecordedRequest) => boolean;
}

/** As far as the text is JSON and holds them. */
function readableParts(text: string): { id: string; event: string; createdAt: string } {
  const nothing = { id: "", event: "", createdAt: "" };
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed !== "object" || parsed === null) return nothing;
    const read = (field: string) => String(Object.entries(parsed).find(([name]) => name === field)?.[1] ?? "");
    return { id: read("id"), event: read("event"), createdAt: read("created_at") };
  } catch {
    return nothing;
  }
}
