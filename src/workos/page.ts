import * as z from "zod";
import type { EventPage, MirroredEvent, QuarantinedEvent } from "../event.ts";
import { type Instant, laterOf, parseInstant } from "../instant.ts";
import { Trouble } from "../trouble.ts";
import { endOfValue, isArrayAt, isObjectAt, scanArray, scanObject, skipSpace } from "./json-text.ts";

const PageBody = z.object({
  data: z.array(z.unknown()),
  list_metadata: z.object({ after: z.unknown() }).nullish().catch(undefined),
});

/** Long enough for any id or type that the API could mean, short enough for an index. */
const LONGEST_NAME = 255;

type Checked = Pick<EventPage, "events" | "quarantined" | "received" | "end"> & {
  /** Whether the API said that something follows. */
  more: boolean;
};

/**
 * Reads the body of a 200. What is wrong with the page as a whole throws; what is wrong with one event puts that event
 * into `quarantined`, and a readable form of it into `events` where it has an id, a type and a time.
 *
 * An event from after `latest` is stored, but leads nowhere: behind it, the list would be empty until its time has come.
 */
export function readPage(body: string, latest: Instant): Checked {
  const { data, list_metadata } = readBody(body);
  const texts = data.length === 0 ? [] : elementsOf(body);
  const events = new Map<string, MirroredEvent>();
  const quarantined: QuarantinedEvent[] = [];
  let lastId: string | undefined;
  for (const [index, element] of texts.entries()) {
    const { text } = element;
    const { event, id, flaw } = readEvent(data[index], element);
    const isEarly = event !== undefined && event.createdAt > latest;
    if (isEarly) quarantined.push({ text, reason: "created_at lies in the future", id: event.id, event: event.event });
    if (flaw !== undefined) quarantined.push({ text, ...flaw });
    if (id !== undefined && !events.has(id) && !isEarly) lastId = id;
    if (event !== undefined) events.set(event.id, event);
  }
  const listed = [...events.values()];
  const at = requireAscending(listed.filter(({ createdAt }) => createdAt <= latest));
  const after = lastId ?? (texts.length > 0 && listed.length === 0 ? nameOf(list_metadata?.after) : undefined);
  return {
    events: listed,
    quarantined,
    received: texts.length,
    more: (list_metadata?.after ?? null) !== null,
    ...(after === undefined ? {} : { end: { after, ...(at === undefined ? {} : { at }) } }),
  };
}

function readBody(body: string): z.infer<typeof PageBody> {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch (cause) {
    throw pageTrouble("page_not_json", `the answer of ${body.length} characters is not JSON`, cause);
  }
  const parsed = PageBody.safeParse(json);
  if (!parsed.success) {
    throw pageTrouble("page_wrong_shape", `the answer is no list of events: ${z.prettifyError(parsed.error)}`);
  }
  return parsed.data;
}

interface ReadEvent {
  id?: string | undefined;
  event?: MirroredEvent;
  flaw?: Omit<QuarantinedEvent, "text">;
}

function readEvent(value: unknown, { text, ...columns }: ElementText): ReadEvent {
  if (!isObject(value)) return { flaw: { reason: "not an object" } };
  const id = nameOf(value.id);
  const event = nameOf(value.event);
  const createdAt = typeof value.created_at === "string" ? parseInstant(value.created_at) : undefined;
  const named = { ...(id === undefined ? {} : { id }), ...(event === undefined ? {} : { event }) };
  if (id === undefined || event === undefined || createdAt === undefined) {
    const missing = id === undefined ? "id" : event === undefined ? "event" : "created_at";
    return { id, flaw: { reason: `${missing} is missing or not valid`, ...named } };
  }
  const mirrored = { id, event, createdAt, text, ...columns };
  if (isObject(value.data)) return { id, event: mirrored };
  return { id, event: mirrored, flaw: { reason: "data is not an object", ...named } };
}

/** An element of the page, and the texts of its columns. */
type ElementText = Pick<MirroredEvent, "text" | "data" | "context" | "extra">;

/** In the order of the page's data. Of a repeated name the last one counts, as for JSON.parse. */
function elementsOf(body: string): ElementText[] {
  let elements: ElementText[] = [];
  scanObject(body, skipSpace(body, 0), (name, start) => {
    if (name !== "data") return endOfValue(body, start);
    elements = [];
    if (!isArrayAt(body, start)) return endOfValue(body, start);
    return scanArray(body, start, (from) => {
      const { end, ...element } = elementAt(body, from);
      elements.push(element);
      return end;
    });
  });
  return elements;
}

function elementAt(body: string, start: number): ElementText & { end: number } {
  const element: { data: string; context?: string } = { data: "null" };
  if (!isObjectAt(body, start)) {
    const end = endOfValue(body, start);
    return { ...element, text: body.slice(start, end), end };
  }
  let unknown: Map<string, string> | undefined;
  const end = scanObject(body, start, (name, from) => {
    const to = endOfValue(body, from);
    if (name === "data" || name === "context") element[name] = body.slice(from, to);
    else if (!isKnown(name, body, from, to)) unknown = (unknown ?? new Map()).set(name, body.slice(from, to));
    else unknown?.delete(name);
    return to;
  });
  const text = body.slice(start, end);
  return unknown === undefined || unknown.size === 0
    ? { ...element, text, end }
    : { ...element, text, end, extra: objectOf(unknown) };
}

/** A field that has a column, or carries nothing. Everything else goes to `extra`. */
function isKnown(name: string, body: string, from: number, to: number): boolean {
  if (name === "object") return body.slice(from, to) === '"event"';
  return name === "id" || name === "event" || name === "created_at";
}

function objectOf(members: ReadonlyMap<string, string>): string {
  return `{${[...members].map(([name, text]) => `${JSON.stringify(name)}:${text}`).join(",")}}`;
}

/** The value as an id or a type: text that Postgres can hold and index. */
function nameOf(value: unknown): string | undefined {
  if (typeof value !== "string" || value.length === 0 || value.length > LONGEST_NAME) return undefined;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is just what is looked for
  return value.isWellFormed() && !/[\u0000-\u001f\u007f]/.test(value) ? value : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * A list that is newest first, read as if it were oldest first, loses events without a trace: refused as a whole.
 * Answers the last event's time.
 */
function requireAscending(events: readonly MirroredEvent[]): Instant | undefined {
  let last: Instant | undefined;
  for (const event of events) {
    if (last !== undefined && millisecondOf(event.createdAt) < millisecondOf(last)) {
      throw pageTrouble(
        "page_not_ascending",
        `the answer is not in ascending order: ${event.id} (${event.createdAt}) comes after an event of ${last}`,
      );
    }
    last = laterOf(last ?? event.createdAt, event.createdAt);
  }
  return last;
}

/** A list may be sorted by milliseconds, though some of its events show microseconds. */
function millisecondOf(instant: Instant): string {
  return instant.slice(0, 23);
}

function pageTrouble(code: string, message: string, cause?: unknown): Trouble {
  return new Trouble(`GET /events: ${message}`, {
    kind: "passing",
    code,
    hint: "nothing of this page was stored and the cursor stays; the page is asked for again",
    cause,
  });
}
