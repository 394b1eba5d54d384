import type { EventPage, Position } from "../../src/event.ts";
import { instantOf } from "../../src/instant.ts";
import { createPool } from "../../src/postgres/connect.ts";
import { createStore } from "../../src/postgres/store.ts";
import { createClient } from "../../src/workos/client.ts";

// The program's own way into the tables, without the API: all pages are in memory before the clock starts. Prints the
// seconds that it took to save them. This is the one file of the bench that knows what the program is made of.

const { WORKOS_API_KEY = "", WORKOS_BASE_URL = "", DATABASE_URL = "" } = process.env;
const signal = new AbortController().signal;
const key = { environment: "default", filter: {} };
const beginning: Position = { at: instantOf(Date.now() - 29 * 86_400_000) };

/** As many as a walk reads ahead of its writer. */
const PAGES_AT_ONCE = 10;

const pages = await readPages();
const pool = createPool({ url: DATABASE_URL, applicationName: "bench" });
const store = createStore(pool);
await store.readCursors(key); // connects
const started = performance.now();
let from: Position | undefined;
for (let first = 0; first < pages.length; first += PAGES_AT_ONCE) {
  const saved = pages.slice(first, first + PAGES_AT_ONCE);
  const to = positionBehind(saved.at(-1));
  const [answer] = await store.savePages(key, [{ pages: saved, move: { rangeEnd: undefined, from, to } }]);
  if (answer?.moved !== true) throw new Error("the cursor did not move");
  from = to;
}
console.log((performance.now() - started) / 1000);
await pool.end();

async function readPages(): Promise<EventPage[]> {
  const fetchPage = createClient({
    baseUrl: WORKOS_BASE_URL,
    readKey: async () => WORKOS_API_KEY,
    pageSize: 100,
    timeoutMs: 10_000,
    rateLimit: { requests: 100_000, perMs: 1_000 },
    userAgent: "bench",
  });
  const read: EventPage[] = [];
  for (let position = beginning; ; ) {
    const { after } = position;
    const where = after === undefined ? { rangeStart: position.at } : { after };
    const page = await fetchPage({ filter: key.filter, from: where }, signal);
    if (page.received === 0) return read;
    read.push(page);
    position = positionBehind(page);
  }
}

function positionBehind(page: EventPage | undefined): Position {
  const end = page?.end;
  if (end?.at === undefined) throw new Error("a page of the bench does not say where it ends");
  return { after: end.after, at: end.at };
}
