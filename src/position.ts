import type { EventFilter, EventPage, PageRequest, Position } from "./event.ts";
import { addMs, earlierOf, type Instant, msOf } from "./instant.ts";

const DAY_MS = 86_400_000;
/** The API forgets events that are older. */
export const RETENTION_MS = 90 * DAY_MS;
/** The API looks at no more than this in one request. */
const WINDOW_MS = 30 * DAY_MS;
/** How far an empty answer near the window's edge is not believed: clocks differ. */
const WINDOW_MARGIN_MS = DAY_MS;
/** Windows overlap by this, so that it does not matter whether their ends are inclusive. */
const WINDOW_OVERLAP_MS = 1000;
/** How far back to begin when the API no longer knows a cursor. Writing twice changes nothing. */
const OVERLAP_MS = 10 * 60_000;

/**
 * What to ask for next. A range that ends in the past is spelled out even behind a cursor: an API that by itself looks
 * at the last 30 days only would otherwise jump from an old cursor over everything between.
 */
export function requestFrom(position: Position, filter: EventFilter, now: Instant, until?: Instant): PageRequest {
  const windowEnd = addMs(position.at, WINDOW_MS);
  const rangeEnd = until === undefined ? windowEnd : earlierOf(until, windowEnd);
  return {
    filter,
    from: position.after === undefined ? { rangeStart: position.at } : { after: position.after },
    ...(rangeEnd < now ? { rangeEnd } : {}),
  };
}

/** Where to go on after a page with events; undefined when the page does not say where it ends. */
export function positionBehind(page: EventPage, position: Position): Position | undefined {
  return page.end && { after: page.end.after, at: page.end.at ?? position.at };
}

/**
 * Where to go on after an empty page, or undefined when that was the head. An empty answer to an old position proves
 * only that its 30-day window is empty, so the position moves on by a window, yet never close to the present, where
 * events may still appear.
 */
export function nextWindow(position: Position, now: Instant): Position | undefined {
  if (position.at >= addMs(now, WINDOW_MARGIN_MS - WINDOW_MS)) return undefined;
  return {
    at: earlierOf(addMs(position.at, WINDOW_MS - WINDOW_OVERLAP_MS), addMs(now, -WINDOW_MARGIN_MS)),
  };
}

/** The same place without its cursor, for an API that no longer knows it. */
export function withoutCursor(position: Position): Position {
  return { at: addMs(position.at, -OVERLAP_MS) };
}

/** Everything before this instant is forgotten by the API. */
export function retentionEdge(now: Instant): Instant {
  return addMs(now, -RETENTION_MS);
}

/** An API that does not know a cursor may answer from its beginning instead of refusing. */
export function endsBefore(page: EventPage, position: Position): boolean {
  return position.after !== undefined && page.end?.at !== undefined && page.end.at < position.at;
}

/**
 * The oldest start that the API accepts, to within a minute, between one that it refused and now. `accepts` asks it.
 * Undefined when it accepts none.
 */
export async function oldestStart(
  refused: Instant,
  now: Instant,
  accepts: (start: Instant) => Promise<boolean>,
): Promise<Instant | undefined> {
  for (const marginMs of [2_000, 60_000]) {
    const edge = addMs(retentionEdge(now), marginMs);
    if (edge > refused && (await accepts(edge))) return edge;
  }
  let low = msOf(refused);
  let high = msOf(now);
  if (!(await accepts(now))) return undefined;
  while (high - low > 60_000) {
    const middle = low + (high - low) / 2;
    if (await accepts(addMs(now, middle - msOf(now)))) high = middle;
    else low = middle;
  }
  return addMs(now, high - msOf(now));
}
