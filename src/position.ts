import type { EventFilter, EventPage, PageRequest, Position } from "./event.ts";
import { addMs, earlierOf, type Instant, msOf } from "./instant.ts";

const DAY_MS = 86_400_000;
/** The API forgets events that are older. */
export const RETENTION_MS = 90 * DAY_MS;
/** The API looks at no more than this in one request. */
const WINDOW_MS = 30 * DAY_MS;
/** How far an empty answer near the window's edge is not believed: clocks differ. */
const WINDOW_MARGIN_MS = DAY_MS;
/** How far from the present an empty window may lead: what it skips is skipped for ever, reading again costs nothing. */
const PRESENT_MARGIN_MS = 7 * DAY_MS;
/** Windows overlap by this, so that it does not matter whether their ends are inclusive. */
const WINDOW_OVERLAP_MS = 1000;
/** How far back to begin when the API no longer knows a cursor. Writing twice changes nothing. */
const OVERLAP_MS = 10 * 60_000;
/** A page may end this much before its cursor: lists are not sorted to the millisecond everywhere. */
const DISORDER_MS = 60_000;

/** Whether the API, which looks at 30 days at a time, may not see the present from there. */
export function isOld(position: Position, now: Instant): boolean {
  return position.at < addMs(now, WINDOW_MARGIN_MS - WINDOW_MS);
}

/** Whether an API that looks at 30 days at a time can't have seen that from the present. */
export function isBeyondWindow(at: Instant, now: Instant): boolean {
  return at < addMs(now, -WINDOW_MS - WINDOW_MARGIN_MS);
}

/**
 * What to ask for next: what follows the cursor, or, without one, what happened since. An old position is asked for by
 * time even when it has a cursor, in windows with both ends spelled out: an API that looks at the last 30 days unless
 * told otherwise would jump from an old cursor over everything between. `byCursor` asks by cursor all the same.
 */
export function requestFrom(
  position: Position,
  filter: EventFilter,
  { now, byCursor = false }: { now: Instant; byCursor?: boolean },
): PageRequest {
  const rangeEnd = addMs(position.at, WINDOW_MS);
  return {
    filter,
    from: startOf(position, byCursor || !isOld(position, now)),
    ...(rangeEnd < now ? { rangeEnd } : {}),
  };
}

function startOf({ after, at }: Position, byCursor: boolean): PageRequest["from"] {
  if (after === undefined) return { rangeStart: at };
  if (byCursor) return { after };
  // a millisecond early, so that the rest of the events of that instant comes whether a start is inclusive or not
  return { rangeStart: addMs(at, -1) };
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
  if (!isOld(position, now)) return undefined;
  return {
    at: earlierOf(addMs(position.at, WINDOW_MS - WINDOW_OVERLAP_MS), addMs(now, -PRESENT_MARGIN_MS)),
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
  return page.end?.at !== undefined && page.end.at < addMs(position.at, -DISORDER_MS);
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
