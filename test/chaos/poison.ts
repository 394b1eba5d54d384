import type { SimulatedEvent } from "../support/simulated-events.ts";
import { newId, type SeededRandom } from "../support/simulated-random.ts";

/** An element of the API's list that is hard to mirror, and what has to become of it. */
export interface Poison {
  event: SimulatedEvent;
  /** The row that has to be in workos.events, as if the API had sent just that; absent when there may be none. */
  stored?: SimulatedEvent;
  /** Whether workos.quarantined_events has to hold its text. */
  quarantined: boolean;
}

/** What is put into the text of an event; `readable` is what has to be stored where jsonb refuses it. */
interface Recipe {
  data: string;
  readable?: string;
  quarantined?: boolean;
}

const whole: readonly Recipe[] = [
  { data: '{"id":"user_1","n":123456789012345678901234567890.000100,"m":1e-300,"z":-0,"huge":1E+40}' },
  { data: '{"name":"\u{1F469}\u200D\u{1F680} e\u0301 \u05E9 \u2028","escaped":"\\ud83d\\ude00 \\u2028 \\\\u0000"}' },
  { data: `{"deep":${"[".repeat(200)}${"]".repeat(200)},"__proto__":{"a":1},"":null}` },
  { data: `{"long":"${"0123456789".repeat(9_000)}"}` },
];

const refusedByJsonb: readonly Recipe[] = [
  { data: '{"name":"before\\u0000after"}', readable: '{"name":"before\\ufffdafter"}' },
  { data: '{"half":"\\ud800","other":"\\udc00x"}', readable: '{"half":"\\ufffd","other":"\\ufffdx"}' },
  { data: '{"\\u0000":1,"pair":"\\ud83d\\ude00"}', readable: '{"\\ufffd":1,"pair":"\\ud83d\\ude00"}' },
  { data: '{"n":1e200000}', readable: '{"n":"1e200000"}' },
].map((recipe) => ({ ...recipe, quarantined: true }));

const noObject: readonly Recipe[] = [
  { data: "17", quarantined: true },
  { data: '["a"]', quarantined: true },
  { data: "null", quarantined: true },
];

const recipes = [...whole, ...whole, ...refusedByJsonb, ...noObject];

/** One of every kind that there is, at random, happening at this time. */
export function poison(timeMs: number, random: SeededRandom): Poison {
  if (random.chance(0.25)) return noEvent(timeMs, random);
  const { data, readable, quarantined = false } = recipes[random.integer(recipes.length)] ?? { data: "{}" };
  const event = eventWith(idOf(timeMs, random), data, timeMs);
  const stored = readable === undefined ? event : { ...event, text: event.text.replace(data, () => readable) };
  return { event, stored, quarantined };
}

/** Ids of any form: the cursor has to get through the query of a URL. */
function idOf(timeMs: number, random: SeededRandom): string {
  const id = newId("event", timeMs, random);
  return random.chance(0.2) ? `${id} &after=ü+%20#` : id;
}

function eventWith(id: string, data: string, timeMs: number): SimulatedEvent {
  const createdAt = new Date(timeMs).toISOString();
  const text = `{"object":"event","id":${JSON.stringify(id)},"event":"user.updated","data":${data},"created_at":"${createdAt}"}`;
  return { id, event: "user.updated", createdAt, timeMs, organizationId: null, text };
}

/** Elements that are no events: without an id, a type or a time, or no object at all. */
function noEvent(timeMs: number, random: SeededRandom): Poison {
  const serial = random.digits(20); // quarantine keeps each text once
  const id = newId("event", timeMs, random);
  const createdAt = new Date(timeMs).toISOString();
  const [known, text] = random.pick([
    ["", `{"object":"event","event":"user.created","data":{"n":${serial}},"created_at":"${createdAt}"}`],
    ["", `{"object":"event","id":"","event":"user.created","data":{"n":${serial}},"created_at":"${createdAt}"}`],
    ["", `"${serial}"`],
    ["", `[${serial}]`],
    ["", serial],
    [id, `{"object":"event","id":"${id}","event":"user.created","data":{"n":${serial}},"created_at":"tomorrow"}`],
    [id, `{"object":"event","id":"${id}","data":{"n":${serial}},"created_at":"${createdAt}"}`],
  ] as const);
  return { event: { id: known, event: "", createdAt, timeMs, organizationId: null, text }, quarantined: true };
}
