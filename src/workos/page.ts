import { z } from "zod";
import type { EventPage, MirroredEvent, QuarantinedEvent } from "../event.ts";
import { type Instant, laterOf, parseInstant } from "../instant.ts";
import { Trouble } from "../trouble.ts";
import { elementTexts, memberTexts } from "./json-text.ts";

const PageBody = z.object({
  data: z.array(z.unknown()),
  list_metadata: z.object({ after: z.unknown() }).nullish().catch(undefined),
});

/** Fields of an event that have a column, or carry nothing. Everything else goes to `extra`. */
const KNOWN_FIELDS = new Set(["id", "event", "created_at", "data", "context"]);

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
  const texts = data.length === 0 ? [] : elementTexts(memberTexts(body).get("data") ?? "[]");
  const events = new Map<string, MirroredEvent>();
  const quarantined: QuarantinedEvent[] = [];
  let lastId: string | undefined;
  for (const [index, text] of texts.entries()) {
    const { event, id, flaw } = readEvent(data[index], text);
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

function readEvent(value: unknown, text: string): ReadEvent {
  if (!isObject(value)) return { flaw: { reason: "not an object" } };
  const id = nameOf(value.id);
  const event = nameOf(value.event);
  const createdAt = typeof value.created_at === "string" ? parseInstant(value.created_at) : undefined;
  const named = { ...(id === undefined ? {} : { id }), ...(event === undefined ? {} : { event }) };
  if (id === undefined || event === undefined || createdAt === undefined) {
    const missing = id === undefined ? "id" : event === undefined ? "event" : "created_at";
    return { id, flaw: { reason: `${missing} is missing or not valid`, ...named } };
  }
  const mirrored = { id, event, createdAt, text, ...columnsOf(value, text) };
  if (isObject(value.data)) return { id, event: mirrored };
  return { id, event: mirrored, flaw: { reason: "data is not an object", ...named } };
}

function columnsOf(value: object, text: string): Pick<MirroredEvent, "data" | "context" | "extra"> {
  const members = memberTexts(text);
  const context = members.get("context");
  const unknown = [...members].filter(
    ([name]) => !KNOWN_FIELDS.has(name) && !(name === "object" && "object" in value && value.object === "event"),
  );
  return {
    data: members.get("data") ?? "null",
    ...(context === undefined ? {} : { context }),
    ...(unknown.length === 0
      ? {}
      : { extra: `{${unknown.map(([name, part]) => `${JSON.stringify(name)}:${part}`).join(",")}}` }),
  };
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
