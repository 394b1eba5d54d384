import type { Logger } from "pino";
import { sentenceOf } from "./history.ts";
import { instantOf } from "./instant.ts";
import type { News } from "./news.ts";
import { RETENTION_MS } from "./position.ts";
import type { Failure } from "./retry.ts";
import type { State, Status } from "./status.ts";
import { countOf, type Step, type StepSaved } from "./step.ts";
import { messageOf, Trouble } from "./trouble.ts";

const HEARTBEAT_MS = 60_000;
/** How often a catch-up, and a trouble that lasts, is told again. */
const PROGRESS_MS = 10_000;
const STILL_FAILING_MS = 60_000;
const STILL_REFUSED_MS = 600_000;
/** Trouble that lasts no longer is no reason to speak of what the API will have forgotten. */
const BRIEF_MS = 300_000;

/** Events that were stored since the last line about it. */
interface Tally {
  inserted: number;
  updated: number;
  pages: number;
  since: number;
}

/**
 * Turns what happens into the status and the log: changes of state, a line for each poll that brought events, a
 * heartbeat a minute. Each failure is told once, and now and then while it lasts.
 */
export class Journal {
  readonly #log: Logger;
  readonly #status: Status;
  readonly #restMs: number;
  #tally: Tally = freshTally();
  #failingSince: number | undefined;
  #toldTrouble: { code: string; at: number } | undefined;
  #lastStep: Step | undefined;
  /** The share of the retention that was told last. */
  #toldRetention = 0;
  #heartbeatInserted = 0;
  #heartbeat: NodeJS.Timeout | undefined;

  constructor(log: Logger, status: Status, restMs: number) {
    this.#log = log;
    this.#status = status;
    this.#restMs = restMs;
  }

  start(): void {
    this.#heartbeat = setInterval(() => this.#beat(), HEARTBEAT_MS).unref();
  }

  /** Ends the heartbeat, and tells of what was stored since the last line. */
  stop(): void {
    clearInterval(this.#heartbeat);
    if (this.#lastStep !== undefined) this.#tellStored(this.#lastStep);
  }

  step(step: Step): void {
    const now = instantOf(Date.now());
    this.#lastStep = step;
    this.#status.turned(now, step.rest ? this.#restMs : 0);
    if (step.isFailing) {
      this.#status.moved(step, now);
    } else {
      this.#status.succeeded(step, now);
      this.#recovered();
    }
    for (const news of step.news) logNews(this.#log, news);
    if (step.saved !== undefined) this.#count(step.saved);
    // trouble is not over before that which failed was read
    const changed = !step.isFailing && this.#enter(step.atHead ? "caught_up" : this.#stateWhileReading());
    if (step.atHead || performance.now() - this.#tally.since > PROGRESS_MS) this.#tellStored(step);
    if (changed && step.atHead) {
      this.#log.info(
        { position: step.position, total: this.#status.inserted },
        "caught up: every event that the API gives is stored",
      );
    }
  }

  standingBy(): void {
    const now = instantOf(Date.now());
    this.#status.turned(now, this.#restMs);
    this.#status.stoodBy(now);
    this.#recovered();
    if (this.#enter("standing_by")) this.#log.info("standing by: another replica holds the lock and mirrors");
  }

  failure({ trouble, failures, waitMs }: Failure): void {
    const now = instantOf(Date.now());
    this.#status.turned(now, waitMs);
    this.#status.failed(trouble, failures, now);
    this.#enter(trouble.kind === "refused" ? "refused" : "failing");
    this.#failingSince ??= performance.now();
    this.#warnOfRetention();
    const refused = trouble.kind === "refused";
    const again = this.#toldTrouble?.code === trouble.code;
    const patienceMs = refused ? STILL_REFUSED_MS : STILL_FAILING_MS;
    if (again && performance.now() - (this.#toldTrouble?.at ?? 0) < patienceMs) return;
    this.#toldTrouble = { code: trouble.code, at: performance.now() };
    const fields = { ...fieldsOf(trouble), failures, retryInSeconds: seconds(waitMs) };
    const what = refused ? "refused" : "failing";
    this.#log[refused ? "error" : "warn"](fields, `${again ? "still " : ""}${what}: ${trouble.message}`);
  }

  /** While it is reading at the head, the mirror is still caught up; only a new walk to the head is a catch-up. */
  #stateWhileReading(): State {
    return this.#status.state === "caught_up" && this.#tally.pages < 10 ? "caught_up" : "catching_up";
  }

  #enter(state: State): boolean {
    return this.#status.enter(state, instantOf(Date.now()));
  }

  #recovered(): void {
    if (this.#failingSince === undefined) return;
    const downSeconds = seconds(performance.now() - this.#failingSince);
    this.#failingSince = undefined;
    this.#toldTrouble = undefined;
    this.#toldRetention = 0;
    this.#log.info({ downSeconds }, "recovered");
  }

  #count(saved: StepSaved): void {
    this.#status.stored(saved);
    this.#tally.pages += saved.pages;
    this.#tally.updated += saved.updated;
    this.#tally.inserted += countOf(saved.inserted);
  }

  #tellStored(step: Step): void {
    const { inserted, updated, pages } = this.#tally;
    this.#tally = freshTally();
    if (inserted + updated === 0) return;
    const fields = {
      inserted,
      ...(updated === 0 ? {} : { updated }),
      pages,
      at: step.position.at,
      cursor: step.position.after,
      requestId: step.requestId,
      ...(step.history === undefined ? {} : { history: sentenceOf(step.history) }),
    };
    this.#log.info(fields, this.#status.state === "catching_up" ? "catching up" : "stored");
  }

  /** While nothing comes in, the API's retention runs out: told once at half of it, and once more near its end. */
  #warnOfRetention(): void {
    const failingMs = performance.now() - (this.#failingSince ?? performance.now());
    const leftSeconds = this.#status.unrecoverableInSeconds(instantOf(Date.now()));
    if (failingMs < BRIEF_MS || leftSeconds === undefined) return;
    const passed = 1 - (leftSeconds * 1000) / RETENTION_MS;
    const alarm = ALARMS.find(({ share }) => passed >= share);
    if (alarm === undefined || alarm.share <= this.#toldRetention) return;
    this.#toldRetention = alarm.share;
    const days = Math.max(0, Math.floor(leftSeconds / 86_400));
    const fields = { code: "unrecoverable_soon", days, position: this.#status.position };
    this.#log[alarm.level](fields, `events become unrecoverable in ${days} days: the API keeps them for 90`);
  }

  #beat(): void {
    const status = this.#status;
    const stored = status.inserted - this.#heartbeatInserted;
    this.#heartbeatInserted = status.inserted;
    const lagSeconds = status.lagSeconds(instantOf(Date.now()));
    this.#warnOfRetention();
    this.#log.info({ state: status.state, lagSeconds, storedLastMinute: stored, position: status.position }, "alive");
  }
}

/** The share of the API's retention that has passed, and how loudly it is told. */
const ALARMS = [
  { share: 0.8, level: "error" },
  { share: 0.5, level: "warn" },
] as const;

export function fieldsOf(trouble: Trouble): Record<string, unknown> {
  const { code, hint, status, requestId, cause } = trouble;
  const stack =
    code === "unexpected" && cause instanceof Error && !(cause instanceof Trouble) ? cause.stack : undefined;
  return { code, status, requestId, whatToDo: hint, stack };
}

export function logNews(log: Logger, { level, code, message, fields }: News): void {
  log[level]({ code, ...fields }, message);
}

/** The last line of a program that gives up. */
export function logTrouble(log: Logger, error: unknown): void {
  if (error instanceof Trouble) log.fatal(fieldsOf(error), error.message);
  else log.fatal({ stack: error instanceof Error ? error.stack : undefined }, `unexpected: ${messageOf(error)}`);
}

function freshTally(): Tally {
  return { inserted: 0, updated: 0, pages: 0, since: performance.now() };
}

function seconds(ms: number): number {
  return Math.round(ms / 100) / 10;
}
