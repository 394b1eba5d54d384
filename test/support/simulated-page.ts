import type { SimulatedEvent } from "./simulated-events.ts";
import type { EventList } from "./simulated-list.ts";
import { type ApiRules, type Query, Refusal } from "./simulated-query.ts";

const dayMs = 86_400_000;

export interface Page {
  /** In the order in which they are listed. */
  events: readonly SimulatedEvent[];
  before: string | null;
  after: string | null;
}

/** The places from `low` up to, but not including, `high`. */
interface Stretch {
  low: number;
  high: number;
  /** Whether it is walked from its oldest event. */
  upwards: boolean;
}

/** The places of the cursors, by time. */
interface Cursors {
  older: number | null;
  newer: number | null;
}

export function retentionEdge({ now, retentionDays }: ApiRules): number {
  return retentionDays === null ? Number.NEGATIVE_INFINITY : now() - retentionDays * dayMs;
}

export function selectPage(list: EventList, query: Query, rules: ApiRules): Page {
  const cursors = cursorsOf(list, query, rules);
  const stretch = stretchOf(list, query, rules, cursors);
  const found = walk(list, query, stretch);
  const events = found.slice(0, query.limit);
  const more = found.length > query.limit;
  const newer = stretch.upwards ? more : cursors.newer !== null;
  const older = stretch.upwards ? cursors.older !== null : more;
  if (stretch.upwards !== (query.order === "asc")) events.reverse();
  return { events, ...metadata(events, query.order, newer, older) };
}

/** Up to `count` events that the query would list at or below this place, oldest first. */
export function eventsUpTo(list: EventList, query: Query, place: number, count: number): SimulatedEvent[] {
  return walk(list, { ...query, limit: count - 1 }, { low: 0, high: place + 1, upwards: false }).reverse();
}

/** `normal` lists like `desc`, but its `after` leads to newer events and its `before` to older ones. */
function metadata(events: readonly SimulatedEvent[], order: Query["order"], newer: boolean, older: boolean) {
  const first = events[0]?.id ?? null;
  const last = events.at(-1)?.id ?? null;
  if (order === "asc") return { before: older ? first : null, after: newer ? last : null };
  if (order === "desc") return { before: newer ? first : null, after: older ? last : null };
  return { before: older ? last : null, after: newer ? first : null };
}

function cursorsOf(list: EventList, query: Query, rules: ApiRules): Cursors {
  const after = placeOfCursor(list, query.after, "after", rules);
  const before = placeOfCursor(list, query.before, "before", rules);
  return query.order === "desc" ? { older: before, newer: after } : { older: after, newer: before };
}

function stretchOf(list: EventList, query: Query, rules: ApiRules, { older, newer }: Cursors): Stretch {
  const edge = retentionEdge(rules);
  if (query.rangeStart !== null && query.rangeStart < edge && rules.staleStart === "refuse") {
    throw Refusal.field("range_start", "out_of_range");
  }
  const low = Math.max(list.firstAtOrAfter(Math.max(edge, query.rangeStart ?? edge)), (older ?? -1) + 1);
  const high = Math.min(rangeEnd(list, query), newer ?? list.length, held(list, query, rules));
  const upwards = (older === null) === (newer === null) ? query.order === "asc" : older !== null;
  return narrow({ low, high, upwards }, { older, newer }, list, query, rules);
}

function placeOfCursor(list: EventList, id: string | null, field: string, rules: ApiRules): number | null {
  if (id === null) return null;
  const place = list.placeOf(id);
  const event = place === undefined ? undefined : list.at(place);
  if (place !== undefined && event !== undefined && event.timeMs >= retentionEdge(rules)) return place;
  if (rules.unknownCursor === "ignore") return null;
  throw new Refusal(400, {
    message: `Invalid pagination cursor: there is no event with the id given in '${field}'.`,
    code: "invalid_cursor",
    error: "Bad Request",
  });
}

function rangeEnd(list: EventList, { rangeEnd: end }: Query): number {
  return end === null ? list.length : list.firstAtOrAfter(end);
}

function held(list: EventList, { order }: Query, { holdBackMs, now }: ApiRules): number {
  return order === "asc" && holdBackMs > 0 ? list.firstAfter(now() - holdBackMs) : list.length;
}

/** A read upwards sees a window from where it starts; one downwards sees as far back from where it starts. */
function narrow(stretch: Stretch, { older, newer }: Cursors, list: EventList, query: Query, rules: ApiRules): Stretch {
  if (rules.windowDays === null) return stretch;
  const length = rules.windowDays * dayMs;
  const timeAt = (place: number | null) => (place === null ? undefined : list.at(place)?.timeMs);
  if (older !== null && query.rangeStart === null && rules.cursorWindow === "present") {
    return { ...stretch, low: Math.max(stretch.low, list.firstAtOrAfter(rules.now() - length)) };
  }
  if (stretch.upwards || query.rangeStart !== null) {
    const edge = retentionEdge(rules);
    const oldestKept = timeAt(list.firstAtOrAfter(edge)) ?? edge;
    const base = Math.max(query.rangeStart ?? timeAt(older) ?? oldestKept, edge);
    return { ...stretch, high: Math.min(stretch.high, list.firstAfter(base + length)) };
  }
  const base = timeAt(newer) ?? query.rangeEnd ?? rules.now();
  return { ...stretch, low: Math.max(stretch.low, list.firstAtOrAfter(base - length)) };
}

function matches(event: SimulatedEvent, { types, organizationId }: Query): boolean {
  if (types !== null && !types.has(event.event)) return false;
  return organizationId === null || event.organizationId === organizationId;
}

/** One event more than the limit, when there is one: it tells whether another page follows. */
function walk(list: EventList, query: Query, { low, high, upwards }: Stretch): SimulatedEvent[] {
  const found: SimulatedEvent[] = [];
  const step = upwards ? 1 : -1;
  for (let place = upwards ? low : high - 1; place >= low && place < high; place += step) {
    const event = list.at(place);
    if (event !== undefined && matches(event, query)) found.push(event);
    if (found.length > query.limit) break;
  }
  return found;
}
