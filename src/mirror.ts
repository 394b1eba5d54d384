import { ApiClock } from "./api-clock.ts";
import {
  type Cursor,
  type FetchPage,
  type Position,
  type Save,
  type SavedEvents,
  type SavedPages,
  type Store,
  samePosition,
} from "./event.ts";
import type { EffectiveFilter } from "./filter.ts";
import type { Instant } from "./instant.ts";
import { type RememberingStore, rememberingCursors } from "./known-cursors.ts";
import type { News } from "./news.ts";
import { Pass } from "./pass.ts";
import type { ReadingOptions, Taken } from "./reading.ts";
import type { ReadPage, Slice } from "./slice.ts";
import { countOf, newsOf, newsOfGaps, newsOfLate, newsOfWindow, type Step, savedOf } from "./step.ts";
import { type SweepOptions, Sweeps } from "./sweeps.ts";
import { Trouble } from "./trouble.ts";

export interface MirrorParts {
  environment: string;
  filter: EffectiveFilter;
  fetchPage: FetchPage;
  store: Store;
  /** Where a mirror without a cursor begins, given the API's present. */
  startAt: (now: Instant) => Instant;
  reading: Omit<ReadingOptions, "signal">;
  /** How the recent past is read once more; undefined: it is not. */
  sweep?: SweepOptions | undefined;
  /** This machine's clock, in ms since the epoch; Date.now but in tests. */
  ownClock?: () => number;
}

/** A start that was chosen by a clock further off than this is chosen anew. */
const SKEW_TOLERANCE_MS = 5_000;
/** More ways around than these in one step lead nowhere: every event type, and then some. */
const MOST_DETOURS = 150;

/**
 * WHAT the mirror does: one step takes the pages that were read and saves them together with the positions behind them.
 * After every error a later step reads on from what was saved.
 */
export class Mirror {
  readonly #parts: MirrorParts;
  readonly #store: RememberingStore;
  readonly #clock: ApiClock;
  readonly #sweeps: Sweeps;
  #pass: Pass | undefined;
  #startedAgain = false;
  /** What is to be told with the next step that succeeds. */
  readonly #untold: News[] = [];
  /** What was being written when it failed: whether it is, the cursors tell. */
  #unsure: readonly Save[] = [];
  /** Could not be read the last time that they were asked for. */
  readonly #failing = new Set<Slice>();

  constructor(parts: MirrorParts) {
    this.#parts = parts;
    this.#store = rememberingCursors(parts.store);
    this.#clock = new ApiClock(parts.ownClock);
    this.#sweeps = new Sweeps(parts.sweep);
  }

  async step(signal: AbortSignal): Promise<Step> {
    for (let detours = 0; ; detours += 1) {
      const { pass, taken } = await this.#read(signal);
      if (taken.failure === undefined) {
        for (const { slice } of taken.pages) this.#failing.delete(slice);
        const step = await this.#resetOnFailure(() => this.#take(pass, taken.pages));
        return { ...step, isFailing: this.#failing.size > 0, news: [...this.#untold.splice(0), ...step.news] };
      }
      const { slice, error } = taken.failure;
      if (!(error instanceof Trouble) || signal.aborted || detours > MOST_DETOURS) throw error;
      if (await this.#goAround(error, pass, slice, signal)) continue;
      this.#failing.add(slice);
      throw error;
    }
  }

  /** Everything up to here is stored, as far as is known without asking. */
  get position(): Position | undefined {
    return this.#pass?.position;
  }

  /** Forgets everything that is not in the database, and gives up what is being asked for. */
  reset(): void {
    this.#store.forgetCursors();
    this.#endPass();
  }

  #endPass(): void {
    this.#pass?.reading.stop();
    this.#pass = undefined;
    this.#failing.clear();
  }

  async #read(signal: AbortSignal): Promise<{ pass: Pass; taken: Taken }> {
    return this.#resetOnFailure(async () => {
      this.#pass ??= await this.#begin(signal);
      const pass = this.#pass;
      await this.#cut(pass);
      return { pass, taken: await pass.reading.next() };
    });
  }

  async #resetOnFailure<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      this.reset();
      throw error;
    }
  }

  async #begin(signal: AbortSignal): Promise<Pass> {
    const { environment, filter, fetchPage, startAt, reading } = this.#parts;
    filter.tryAgain(Date.now());
    const key = { environment, filter: filter.current };
    const cursors = await this.#store.readCursors(key);
    this.#makeSure(cursors);
    const now = this.#clock.now();
    const walking = { fetchPage, clock: this.#clock };
    const pass = new Pass(key, cursors, { at: startAt(now), now }, walking, { ...reading, signal });
    this.#sweeps.begin(pass, now);
    return pass;
  }

  async #cut(pass: Pass): Promise<void> {
    for (;;) {
      const now = this.#clock.now();
      const cut = pass.cut(now);
      if (cut === undefined) return;
      if (!(await this.#store.splitCursor(pass.key, cut.cursor, cut.at))) return; // the next save tells of it
      pass.split(cut.slice, cut.at, now);
    }
  }

  async #take(pass: Pass, pages: readonly ReadPage[]): Promise<Step> {
    for (const { page } of pages) {
      if (this.#startedByAWrongClock(pass, page.apiTime)) return this.#startAgain(pass);
    }
    const saves = [...bySlice(pages)].flatMap(([slice, read]) => {
      const save = pass.saveOf(slice, read, this.#clock);
      return save === undefined ? [] : [{ slice, save }];
    });
    const answers = await this.#savePages(
      pass,
      saves.map(({ save }) => save),
    );
    // it is committed, and not to be told a second time: nothing that fails from here on may keep it from being told
    this.#untold.push(...newsOf(answers, pass.key.environment));
    if (answers.some(({ moved }) => !moved)) {
      return { ...this.#yieldToOtherWriter(pass), ...savedOf(answers, [], pages.length, 0) };
    }
    for (const { slice, save } of saves) pass.stored(slice, save.move.to);
    const late = await this.#saveSwept(pass, pages);
    const found = late.reduce((sum, { inserted }) => sum + countOf(inserted), 0);
    this.#untold.push(...newsOf(late, pass.key.environment), ...(found > 0 ? [newsOfLate(found)] : []));
    const news = [...this.#newsOfFilter(), ...pages.flatMap(newsOfWindow)];
    const step = await this.#endOfStep(pass, pages);
    return { ...step, ...savedOf(answers, late, pages.length, found), news };
  }

  async #savePages({ key }: Pass, saves: readonly Save[]): Promise<SavedPages[]> {
    if (saves.length === 0) return [];
    this.#unsure = saves;
    const answers = await this.#store.savePages(key, saves);
    this.#unsure = [];
    return answers;
  }

  /** A commit whose answer was lost has moved its cursors: the gaps that it recorded are still to be told. */
  #makeSure(cursors: readonly Cursor[]): void {
    for (const { move } of this.#unsure) {
      const isMoved = cursors.some(
        ({ rangeEnd, position }) => rangeEnd === move.rangeEnd && samePosition(position, move.to),
      );
      if (isMoved) this.#untold.push(...newsOfGaps(move.gaps ?? []));
    }
    this.#unsure = [];
  }

  /** Of what is read once more, everything new has turned up late. */
  async #saveSwept(pass: Pass, pages: readonly ReadPage[]): Promise<SavedEvents[]> {
    const saved: SavedEvents[] = [];
    for (const { slice, page } of pages) {
      if (slice.purpose !== "sweep") continue;
      const { until } = slice.walk;
      const events = page.events.filter(({ createdAt }) => until === undefined || createdAt < until);
      saved.push(await this.#store.saveEvents(pass.key.environment, { ...page, events }));
    }
    return saved;
  }

  async #endOfStep(pass: Pass, pages: readonly ReadPage[]): Promise<Omit<Step, "news">> {
    const { reading } = pass;
    const isHeadOver = reading.head?.hasEnded === true && reading.head.pages.length === 0;
    pass.headReached ||= isHeadOver;
    const last = pages.at(-1);
    const step = {
      atHead: pass.headReached && pass.isHistoryDone,
      position: pass.position,
      history: pass.isHistoryDone ? undefined : pass.progress(this.#clock.now()),
      requestId: last?.page.requestId,
    };
    if (!isHeadOver || reading.others.length > 0) return { ...step, rest: false };
    this.#endPass();
    this.#sweeps.end(pass);
    if (pass.progress(this.#clock.now()) !== undefined) await this.#store.forgetHistory(pass.key);
    // while the others were read, the head was left alone for a while
    return { ...step, rest: !pass.hadOthers };
  }

  #startedByAWrongClock(pass: Pass, apiTime: Instant): boolean {
    const isOff = Math.abs(this.#clock.learn(apiTime)) > SKEW_TOLERANCE_MS;
    return isOff && pass.storedHead === undefined && !this.#startedAgain;
  }

  #startAgain(pass: Pass): Step {
    this.reset();
    this.#startedAgain = true;
    return { rest: false, atHead: false, position: pass.position, news: [this.#newsOfClock()] };
  }

  /** However often it comes before anything can be told. */
  #tellOnce(news: News): void {
    const before = this.#untold.findIndex(({ code, message }) => code === news.code && message === news.message);
    if (before < 0 || news.code === "event_type_rejected") this.#untold.push(news);
    else this.#untold[before] = news;
  }

  #newsOfClock(): News {
    const message = "this machine's clock differs from the API's: going by the API's";
    const fields = { skewSeconds: Math.round(this.#clock.skewMs / 1000) };
    return { level: "warn", code: "clock_differs", message, fields };
  }

  #yieldToOtherWriter({ position }: Pass): Step {
    this.reset();
    const message = "another writer moved a cursor: what came behind it was not written, reading the cursors again";
    const news: News[] = [{ level: "info", code: "cursor_moved", message }];
    return { rest: false, atHead: false, position, news };
  }

  #newsOfFilter(): News[] {
    const accepted = this.#parts.filter.accepted();
    return accepted === undefined ? [] : [accepted];
  }

  /** What the API refuses need not stop the mirror. False when there is no way around. */
  async #goAround(trouble: Trouble, pass: Pass, slice: Slice, signal: AbortSignal): Promise<boolean> {
    const { code, apiTime } = trouble;
    if (code === "range_start_rejected" && apiTime !== undefined && this.#startedByAWrongClock(pass, apiTime)) {
      this.#untold.push(...this.#startAgain(pass).news);
      return true;
    }
    const news = this.#parts.filter.adapt(trouble, Date.now());
    if (news !== undefined) {
      this.#tellOnce(news); // it lasts, though what comes next may fail
      this.reset(); // to another cursor: the filter is part of its key
      return true;
    }
    const way = await slice.walk.wayAround(trouble, signal);
    if (way === undefined) return false;
    this.#tellOnce(way);
    return true;
  }
}

function bySlice(pages: readonly ReadPage[]): Map<Slice, ReadPage[]> {
  const slices = new Map<Slice, ReadPage[]>();
  for (const page of pages) slices.set(page.slice, [...(slices.get(page.slice) ?? []), page]);
  return slices;
}
