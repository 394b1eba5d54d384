import type { EventFilter, EventPage, FetchPage } from "./event.ts";
import type { EffectiveFilter } from "./filter.ts";
import { addMs, type Instant, instantOf } from "./instant.ts";
import { messageOf, Trouble } from "./trouble.ts";

/** One line of `check`: what was looked at, and what to do when it failed. */
export interface Finding {
  name: string;
  ok: boolean;
  detail: string;
  fix?: string;
}

export interface CheckParts {
  filter: EffectiveFilter;
  /** Asks for two events a page. */
  fetchPage: FetchPage;
  /** Each answers a detail to print, or throws a Trouble. */
  database: { name: string; look: () => Promise<string> }[];
  signal: AbortSignal;
}

const RECENT_MS = 29 * 86_400_000;

/** Looks at everything that a mirror needs, one after the other; yields a finding for each. */
export async function* check({ filter, fetchPage, database, signal }: CheckParts): AsyncGenerator<Finding> {
  for (const { name, look } of database) yield await finding(name, look);

  const since = addMs(instantOf(Date.now()), -RECENT_MS);
  const ask = (asked: EventFilter, from: { after: string } | { rangeStart: Instant }) =>
    fetchPage({ filter: asked, from }, signal);
  let first: EventPage | undefined;
  yield await finding("API key", async () => {
    first = await askAdapting(filter, (current) => ask(current, { rangeStart: since }));
    return `GET /events answered with ${first.received} of the events since ${since.slice(0, 10)}`;
  });
  if (first === undefined) return;
  const page = first;
  yield await finding("filtering", async () => {
    const event = page.events[0]?.event ?? "user.created";
    const answer = await ask({ ...filter.current, events: [event] }, { rangeStart: since });
    const others = answer.events.filter((candidate) => candidate.event !== event);
    if (others.length > 0) throw ignored(`asked for ${event}, got ${others[0]?.event}`);
    return `asked for ${event}, got nothing else`;
  });
  yield await finding("pagination", async () => {
    if (page.end === undefined || !page.full) return "too few events in the last 29 days for a second page";
    const second = await ask(filter.current, { after: page.end.after });
    const ids = new Set(page.events.map((event) => event.id));
    if (second.events.some((event) => ids.has(event.id))) throw ignored("the second page repeats the first");
    return "the second page goes on where the first ends";
  });
}

/** Gets around a filter that has to be spelled out, and types that the API rejects, as the mirror does. */
async function askAdapting(
  filter: EffectiveFilter,
  ask: (current: EventFilter) => Promise<EventPage>,
): Promise<EventPage> {
  try {
    return await ask(filter.current);
  } catch (error) {
    if (!(error instanceof Trouble) || filter.adapt(error, Date.now()) === undefined) throw error;
    return askAdapting(filter, ask);
  }
}

async function finding(name: string, look: () => Promise<string>): Promise<Finding> {
  try {
    return { name, ok: true, detail: await look() };
  } catch (error) {
    const fix = error instanceof Trouble ? error.hint : undefined;
    return { name, ok: false, detail: messageOf(error), ...(fix === undefined ? {} : { fix }) };
  }
}

function ignored(message: string): Trouble {
  const hint = "is WORKOS_BASE_URL the WorkOS API, with nothing between that caches or drops the query?";
  return new Trouble(message, { kind: "refused", code: "parameter_ignored", hint });
}
