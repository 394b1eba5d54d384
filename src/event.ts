import { createHash } from "node:crypto";
import type { Instant } from "./instant.ts";

/** Which events a mirror asks for. `events` and `organizationId` absent: all of them. */
export interface EventFilter {
  /** Event types, sorted, without duplicates. */
  events?: readonly string[];
  organizationId?: string;
}

/**
 * How far a mirror has read: everything up to the event `after`, which was created at `at`, is stored.
 * Without `after` the next request starts at the instant `at` itself.
 */
export interface Position {
  after?: string;
  at: Instant;
}

export function samePosition(a: Position, b: Position): boolean {
  return a.after === b.after && a.at === b.at;
}

/** One GET /events. `after` and `rangeStart` exclude each other. */
export interface PageRequest {
  filter: EventFilter;
  from: { after: string } | { rangeStart: Instant };
  /** Exclusive. */
  rangeEnd?: Instant;
  /** Gives way to others, and leaves them so many places of each window of the rate limit. */
  background?: { leave: number };
}

/**
 * An event as the API sent it. `data`, `context` and `extra` are pieces of JSON text, never parsed and written again:
 * digits beyond 2^53 and the order of keys survive.
 */
export interface MirroredEvent {
  id: string;
  /** The event's type, such as `dsync.user.created`. */
  event: string;
  createdAt: Instant;
  /** The whole event. */
  text: string;
  data: string;
  context?: string;
  /** A JSON object of the fields that have no column of their own. */
  extra?: string;
}

/** An element of a page that is not, or not quite, a valid event. */
export interface QuarantinedEvent {
  /** The element as the API sent it. */
  text: string;
  reason: string;
  id?: string;
  event?: string;
}

/** A page that was checked as a whole: valid JSON of the right shape, ascending by `created_at`. */
export interface EventPage {
  /** In the API's order, each id once. */
  events: readonly MirroredEvent[];
  quarantined: readonly QuarantinedEvent[];
  /** How many elements the API sent, duplicates and invalid ones included. */
  received: number;
  /** Whether it holds as many elements as were asked for, so that more may follow. */
  full: boolean;
  /** Whether the API said that nothing follows. */
  last: boolean;
  /** Of the body, decompressed. */
  bytes: number;
  /** From sending the request to having read its answer. */
  tookMs: number;
  /** Where the page ends; absent for an empty page, and `at` where no event has a time. */
  end?: { after: string; at?: Instant };
  /** Path and query that were asked for. Holds no secret. */
  request: string;
  requestId?: string;
  /** The API's clock when it answered, from the Date header; ours when there was none. */
  apiTime: Instant;
}

export type FetchPage = (request: PageRequest, signal: AbortSignal) => Promise<EventPage>;

/** Whose position it is: a mirror with another environment or filter has one of its own. */
export interface CursorKey {
  environment: string;
  filter: EventFilter;
}

/** A range of time that the API can't give any more. */
export interface Gap {
  rangeStart: Instant;
  rangeEnd: Instant;
  reason: string;
}

/** A row of workos.cursors: how far one range of time was read. */
export interface Cursor {
  /** Undefined: where the mirror began. */
  rangeStart: Instant | undefined;
  /** Exclusive. Undefined: it follows the present; every other one is a slice of history, done when it is reached. */
  rangeEnd: Instant | undefined;
  position: Position;
  startedAt: Instant;
}

export interface Move {
  /** Whose position it is: the end of the cursor's range. */
  rangeEnd: Instant | undefined;
  /** The stored position that was read; undefined when there was none. */
  from: Position | undefined;
  to: Position;
  gaps?: readonly Gap[];
}

/** Pages that follow one another, and what they move. */
export interface Save {
  pages: readonly EventPage[];
  move: Move;
}

export interface SavedEvents {
  /** New events by type. */
  inserted: Map<string, number>;
  /** Events that were stored before with another content. */
  updated: number;
  /** Quarantined for the first time. */
  quarantined: number;
}

export interface SavedPages extends SavedEvents {
  /** False when another writer had moved the cursor meanwhile: then nothing was written. */
  moved: boolean;
  /** What of the move's gaps was not recorded before. */
  gaps: readonly Gap[];
}

/** The one door to the tables. Everything that goes wrong comes out as a Trouble. */
export interface Store {
  /** The one that follows the present is the last. Empty when nothing was mirrored yet. */
  readCursors: (key: CursorKey) => Promise<Cursor[]>;
  /**
   * All in one transaction. Each save writes its pages and moves its cursor from where it was read, both or neither,
   * whatever becomes of the others.
   */
  savePages: (key: CursorKey, saves: readonly Save[]) => Promise<SavedPages[]>;
  /** Cuts a cursor's range at an instant ahead of its position. False when another writer had moved it meanwhile. */
  splitCursor: (key: CursorKey, cursor: Cursor, at: Instant) => Promise<boolean>;
  /** Forgets the slices of history when all of them are done. */
  forgetHistory: (key: CursorKey) => Promise<void>;
  /** Writes a page without touching any cursor. */
  saveEvents: (environment: string, page: EventPage) => Promise<SavedEvents>;
}

export type Difference = "missing" | "different";

/** Looks at what is stored, and never writes. Everything that goes wrong comes out as a Trouble. */
export interface Comparer {
  /** Throws when the table is not there, or may not be read. */
  requireTable: () => Promise<void>;
  /** What is not stored just as the mirror would store it, by id. */
  compare: (environment: string, page: EventPage) => Promise<Map<string, Difference>>;
  /** What is stored of a range of time, `until` exclusive, in any order; of these types only, if there are any. */
  storedIds: (
    environment: string,
    range: { since: Instant; until: Instant; events: readonly string[] | undefined },
  ) => Promise<string[]>;
}

/**
 * Names a filter in a cursor's key. Who adds an event type gets another key, and so that type's history as well instead
 * of a silent hole.
 */
export function filterKey({ events, organizationId }: EventFilter): string {
  if (events === undefined && organizationId === undefined) return "*";
  const parts = [];
  if (events !== undefined) parts.push(`events=${shortened(events.join(","))}`);
  if (organizationId !== undefined) parts.push(`organization_id=${organizationId}`);
  return parts.join("&");
}

/** A key has to fit into an index row; workos.cursors.events tells the whole list. */
function shortened(list: string): string {
  if (list.length <= 500) return list;
  return `sha256:${createHash("sha256").update(list).digest("hex")}`;
}
