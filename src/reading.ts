import { addMs, type Instant } from "./instant.ts";
import { type ReadPage, Slice } from "./slice.ts";
import { type Lead, Walk, type WalkOptions } from "./walk.ts";

export interface ReadingOptions {
  /** How many slices of history are read side by side; `auto`: as many as keep the rate limit busy. */
  concurrency: number | "auto";
  rateLimit: { requests: number; perMs: number };
  pageSize: number;
  /** From one look at the head to the next, while other slices are being read; undefined: not before they are done. */
  pollIntervalMs?: number;
  signal: AbortSignal;
}

/** Pages that were read, or what stopped a slice. Both empty: everything was read. */
export interface Taken {
  pages: readonly ReadPage[];
  failure?: { slice: Slice; error: unknown };
}

const MOST_CONCURRENT = 50;
/** More than the latency asks for, since it differs from request to request. */
const SPARE = 1.1;
/** WorkOS allows 0.1 of them. More slices than this asks for are hardly faster, and take memory. */
const MOST_PAGES_PER_MS = 0.15;
/** Of what was read and is not written yet, and of what is on its way. */
const MOST_BUFFERED_BYTES = 2 * 1024 * 1024;
const MOST_ASKED_BYTES = 8 * 1024 * 1024;
const MOST_BUFFERED_PAGES = 12;
const MOST_AHEAD_PAGES = 10;
/** A writer that waits for less than this share of its time would not be faster for more slices. */
const WORTH_WAITING = 0.25;
/** Slices with less to read are not cut in two. */
const FEWEST_PAGES = 4;
/** Each cut costs about half a request: beyond one for each place there may be so many for each page that was read. */
const CUTS_PER_PAGE = 0.02;
/** A head that is further behind leaves the time until then to slices of history. */
const FAR_BEHIND_MS = 3_600_000;
/** Events may turn up late by some seconds; what is younger is left to the head. */
const CUT_BEFORE_NOW_MS = 10 * 60_000;
/** The share of the rate limit that looking at a quiet head may take from history. */
const QUIET_SHARE = 0.02;
/** Of its places in a window of the rate limit: a place comes back late by the latency, and a page may be full. */
const SPARE_PLACES = 2;

/** Reads slices side by side, each page by page, as far ahead of the writer as memory allows. */
export class Reading {
  readonly slices: Slice[] = [];
  readonly #options: ReadingOptions;
  readonly #stop = new AbortController();
  #failure: Taken["failure"];
  /** Nothing is asked for between a failure and the next call of `next`. */
  #isPaused = false;
  #wake: () => void = () => {};
  /** Of history: how long an answer takes, and how large it is. */
  #tookMs: number | undefined;
  #pageBytes = 1;
  #pagesRead = 0;
  #cuts = 0;
  #headTimer: NodeJS.Timeout | undefined;
  #isHeadQuiet = false;
  #takenAt = performance.now();
  /** Of the writer's time: how much of it goes into waiting for pages. */
  #waitedShare = 1;

  constructor(options: ReadingOptions) {
    this.#options = options;
    if (options.signal.aborted) this.#abort();
    options.signal.addEventListener("abort", this.#abort, { once: true });
  }

  /** With the reason that was given to whoever began this. */
  readonly #abort = () => this.#stop.abort(this.#options.signal.reason);

  add(slice: Slice): void {
    this.slices.push(slice);
  }

  /** The slice that follows the present. */
  get head(): Slice | undefined {
    return this.slices.find(({ purpose }) => purpose === "head");
  }

  /** Those beside the head that are not read to their end yet. */
  get others(): Slice[] {
    return this.slices.filter((slice) => slice.purpose !== "head" && !(slice.hasEnded && slice.pages.length === 0));
  }

  /** Waits until something was read, and takes it. */
  async next(): Promise<Taken> {
    const calledAt = performance.now();
    const taken = await this.#next();
    const now = performance.now();
    const share = (now - calledAt) / (now - this.#takenAt);
    this.#waitedShare = (this.#waitedShare + share) / 2;
    this.#takenAt = now;
    return taken;
  }

  async #next(): Promise<Taken> {
    if (this.#failure === undefined) this.#isPaused = false;
    for (;;) {
      const pages = this.#take();
      this.#fill(); // what comes next is read while these are written
      const failure = this.#failure;
      if (pages.length > 0) return { pages };
      if (failure !== undefined) {
        this.#failure = undefined;
        return { pages, failure };
      }
      if (!this.slices.some(({ isAsking }) => isAsking) && this.#headTimer === undefined) return { pages };
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Gives up everything that is being asked for. */
  stop(): void {
    clearTimeout(this.#headTimer);
    this.#options.signal.removeEventListener("abort", this.#abort);
    this.#stop.abort(new Error("the page is not needed any more"));
  }

  /** Where one more slice would be of use; undefined when it is the writer that is waited for. */
  cut(now: Instant): { slice: Slice; at: Instant } | undefined {
    if (this.#isPaused || this.#width === 1) return undefined;
    return this.#cutHead(now) ?? (this.#waitedShare < WORTH_WAITING ? undefined : this.#cutLargest());
  }

  /** Cuts a slice in two; answers the one that begins at that instant. */
  split(slice: Slice, at: Instant, options: Omit<WalkOptions, "from" | "until">): Slice {
    const walk = new Walk({ ...options, from: { at }, until: slice.walk.until });
    const behind = new Slice(slice.purpose, walk, slice);
    slice.walk.until = at;
    if (slice.purpose === "head") {
      slice.purpose = "history";
      slice.hasEnded = false; // an answer that came meanwhile says nothing of the end that it has now
    }
    this.slices.splice(this.slices.indexOf(slice) + 1, 0, behind);
    this.#cuts += 1;
    return behind;
  }

  /** What is far behind the present is history; the head goes on where the present begins. */
  #cutHead(now: Instant): { slice: Slice; at: Instant } | undefined {
    const { head } = this;
    if (head === undefined || head.hasEnded || head.walk.position.at > addMs(now, -FAR_BEHIND_MS)) return undefined;
    const at = addMs(now, -CUT_BEFORE_NOW_MS);
    return this.#pagesUntil(head, at) < 2 * FEWEST_PAGES ? undefined : { slice: head, at };
  }

  /** Who has nothing to do takes a part of the largest rest: half of it, or as much as leaves all others the same. */
  #cutLargest(): { slice: Slice; at: Instant } | undefined {
    const reading = this.others.filter(({ purpose, hasEnded }) => purpose === "history" && !hasEnded);
    const idle = this.#width - reading.length;
    if (reading.length === 0 || idle <= 0) return undefined;
    const rests = reading.map((slice) => ({ slice, rest: this.#pagesUntil(slice, slice.walk.until) }));
    if (this.#cuts >= this.#width + this.#pagesRead * CUTS_PER_PAGE) return undefined;
    const largest = rests.reduce((most, other) => (other.rest > most.rest ? other : most));
    const { until } = largest.slice.walk;
    if (largest.rest < FEWEST_PAGES || until === undefined) return undefined;
    const parts = Math.min(idle + 1, Math.floor((2 * largest.rest) / FEWEST_PAGES));
    return { slice: largest.slice, at: largest.slice.partUntil(until, parts) };
  }

  #pagesUntil(slice: Slice, end: Instant | undefined): number {
    return end === undefined ? 0 : slice.restUntil(end) / this.#options.pageSize;
  }

  /** How many slices of history may be asked for at the same time. */
  get #width(): number {
    const { concurrency, rateLimit } = this.#options;
    const forMemory = Math.max(1, Math.floor(MOST_ASKED_BYTES / this.#pageBytes));
    if (concurrency !== "auto") return Math.min(concurrency, forMemory);
    const pagesPerMs = Math.min(rateLimit.requests / rateLimit.perMs, MOST_PAGES_PER_MS);
    const forLatency = Math.ceil((this.#tookMs ?? 0) * pagesPerMs * SPARE) + 1;
    return Math.min(forLatency, MOST_CONCURRENT, forMemory);
  }

  /** Asks for whatever may be asked for now. */
  #fill(): void {
    if (this.#isPaused || this.#stop.signal.aborted || this.#isBufferFull()) return;
    const { head } = this;
    if (head !== undefined && mayAsk(head)) void this.#ask(head);
    for (const slice of this.others) {
      const asking = this.slices.filter(({ purpose, isAsking }) => purpose !== "head" && isAsking).length;
      if (asking >= this.#width) return;
      if (mayAsk(slice)) void this.#ask(slice);
    }
  }

  #isBufferFull(): boolean {
    const pages = this.slices.flatMap((slice) => slice.pages);
    const bytes = pages.reduce((sum, { page }) => sum + page.bytes, 0);
    return bytes >= MOST_BUFFERED_BYTES || pages.length >= MOST_BUFFERED_PAGES;
  }

  async #ask(slice: Slice): Promise<void> {
    slice.isAsking = true;
    const askedAt = performance.now();
    try {
      // a head by itself reads what may soon be history: only beside others it takes of the places that they leave
      const background = slice.purpose === "head" && this.others.length > 0 ? undefined : { leave: this.#leave };
      this.#look(await slice.read(this.#stop.signal, background), askedAt);
    } catch (error) {
      if (!this.#isPaused) this.#failure = { slice, error };
      this.#isPaused = true;
    } finally {
      slice.isAsking = false;
      this.#fill();
      this.#wake();
    }
  }

  #look({ slice, page, lead }: ReadPage, askedAt: number): void {
    const isHead = slice.purpose === "head";
    if (lead === "end" || (isHead && isAtHead(lead))) slice.hasEnded = true;
    if (isHead && slice.hasEnded) {
      this.#restHead(slice, askedAt, page.received === 0);
      return;
    }
    this.#pagesRead += 1;
    this.#tookMs = this.#tookMs === undefined ? page.tookMs : this.#tookMs * 0.8 + page.tookMs * 0.2;
    this.#pageBytes = Math.max(page.bytes, this.#pageBytes * 0.9);
  }

  /** Beside others, the head is looked at again after a while; by itself, that is up to the caller. */
  #restHead(head: Slice, askedAt: number, isQuiet: boolean): void {
    const { pollIntervalMs } = this.#options;
    this.#isHeadQuiet = isQuiet;
    if (pollIntervalMs === undefined || this.others.length === 0) return;
    clearTimeout(this.#headTimer);
    const restMs = Math.max(0, askedAt + this.#headIntervalMs(pollIntervalMs) - performance.now());
    this.#headTimer = setTimeout(() => {
      this.#headTimer = undefined;
      head.hasEnded = false;
      this.#fill();
      this.#wake();
    }, restMs);
  }

  #headIntervalMs(pollIntervalMs: number): number {
    const { requests, perMs } = this.#options.rateLimit;
    return this.#isHeadQuiet ? Math.max(pollIntervalMs, perMs / (requests * QUIET_SHARE)) : pollIntervalMs;
  }

  /** The places in a window of the rate limit that the head will need. */
  get #leave(): number {
    const { pollIntervalMs, rateLimit } = this.#options;
    if (pollIntervalMs === undefined || this.others.length === 0) return 0;
    const looks = Math.ceil(rateLimit.perMs / this.#headIntervalMs(pollIntervalMs));
    return this.#isHeadQuiet ? looks : looks + SPARE_PLACES;
  }

  #take(): ReadPage[] {
    const taken: ReadPage[] = [];
    let bytes = 0;
    for (const slice of this.slices) {
      for (let page = slice.pages[0]; page !== undefined; page = slice.pages[0]) {
        if (taken.length > 0 && bytes + page.page.bytes > MOST_BUFFERED_BYTES) return taken;
        bytes += page.page.bytes;
        taken.push(page);
        slice.pages.shift();
      }
    }
    return taken;
  }
}

function isAtHead(lead: Lead): boolean {
  return lead === "head" || (typeof lead === "object" && lead.atHead);
}

function mayAsk({ isAsking, hasEnded, pages }: Slice): boolean {
  return !isAsking && !hasEnded && pages.length < MOST_AHEAD_PAGES;
}
