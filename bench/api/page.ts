import type { EventLog } from "./event-log.ts";

const windowMs = 30 * 86_400_000;
const retentionMs = 90 * 86_400_000;
const head = Buffer.from('{"object":"list","data":[');

export interface Page {
  body: Buffer[];
  events: number;
  full: boolean;
  /** Asked for what comes behind the last event. */
  atHead: boolean;
}

/** An answer that is no page. */
export class Refused extends Error {
  readonly status: number;

  constructor(message: string, status = 400) {
    super(message);
    this.status = status;
  }
}

/** The answer to `GET /events?order=asc…`, over at most 30 of the last 90 days. */
export function pageOf(log: EventLog, query: URLSearchParams, nowMs: number): Page {
  if (query.get("order") !== "asc") throw new Refused("only order=asc");
  const limit = Number(query.get("limit") ?? 10);
  const { low, high } = rangeOf(log, query, nowMs);
  const places = pick(log, typesOf(query), low, high, limit + 1);
  const more = places.length > limit;
  if (more) places.pop();
  const after = more ? `"${log.idAt(places.at(-1) ?? 0)}"` : "null";
  const tail = Buffer.from(`],"list_metadata":{"before":null,"after":${after}}}`);
  const body = [head, ...log.textOf(places), tail];
  return { body, events: places.length, full: places.length >= limit, atHead: low >= log.length };
}

function rangeOf(log: EventLog, query: URLSearchParams, nowMs: number): { low: number; high: number } {
  const after = query.get("after");
  const start = timeOf(query, "range_start");
  const end = timeOf(query, "range_end");
  if (after !== null && start !== undefined) throw new Refused("after and range_start exclude each other");
  const oldest = nowMs - retentionMs;
  const low = after === null ? log.firstAtOrAfter(Math.max(start ?? 0, oldest)) : placeBehind(log, after);
  const base = Math.max(start ?? log.timeAt(after === null ? low : low - 1), oldest);
  const windowEnd = log.firstAfter(base + windowMs);
  return { low, high: end === undefined ? windowEnd : Math.min(windowEnd, log.firstAtOrAfter(end)) };
}

function placeBehind(log: EventLog, id: string): number {
  const place = log.placeOf(id);
  if (place === undefined) throw new Refused(`Invalid pagination cursor: there is no event ${id}`);
  return place + 1;
}

function timeOf(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  const timeMs = Date.parse(text);
  if (Number.isNaN(timeMs)) throw new Refused(`${name} must be ISO 8601`);
  return timeMs;
}

function typesOf(query: URLSearchParams): ReadonlySet<string> | undefined {
  const names = [...query.getAll("events[]"), ...query.getAll("events")].filter((name) => name !== "");
  return names.length === 0 ? undefined : new Set(names);
}

function pick(
  log: EventLog,
  types: ReadonlySet<string> | undefined,
  low: number,
  high: number,
  most: number,
): number[] {
  const places: number[] = [];
  for (let place = low; place < high && places.length < most; place += 1) {
    if (types === undefined || types.has(log.typeAt(place))) places.push(place);
  }
  return places;
}
