import type { Position } from "./event.ts";
import type { HistoryProgress } from "./history.ts";
import { addMs, type Instant, laterOf, msOf } from "./instant.ts";
import { RETENTION_MS } from "./position.ts";
import type { Step, StepSaved } from "./step.ts";
import type { Trouble } from "./trouble.ts";

export const STATES = [
  "starting",
  "standing_by",
  "catching_up",
  "caught_up",
  "failing",
  "refused",
  "stopping",
] as const;
export type State = (typeof STATES)[number];

/** What the program is, for whoever asks it. */
export interface Identity {
  version: string;
  revision?: string;
  environment: string;
  filter: string;
}

/** Types beyond these are counted together: each is a time series to whoever collects the metrics. */
const MOST_TYPES = 500;

/** What the daemon knows of itself. Written by the loop, read by HTTP and the log. */
export class Status {
  readonly identity: Identity;
  readonly startedAt: Instant;
  state: State = "starting";
  since: Instant;
  migrated = false;
  /** Everything up to here is stored. */
  position: Position | undefined;
  /** Of what is caught up with beside the present. */
  history: HistoryProgress | undefined;
  /** The last step that succeeded. */
  goodAt: Instant | undefined;
  /** When the head was last reached: everything until then is stored. */
  caughtUpAt: Instant | undefined;
  /** When the loop last did anything, a failed attempt included. */
  turnedAt: Instant;
  /** The loop is not expected to turn before this. */
  restsUntil: Instant;
  /** In a row. */
  failures = 0;
  lastTrouble: { trouble: Trouble; at: Instant } | undefined;
  readonly counts = { pages: 0, updated: 0, quarantined: 0, gaps: 0, late_events: 0, failures: 0 };
  readonly insertedByType = new Map<string, number>();
  inserted = 0;

  constructor(identity: Identity, now: Instant) {
    this.identity = identity;
    this.startedAt = now;
    this.since = now;
    this.turnedAt = now;
    this.restsUntil = now;
  }

  /** True when that is another state than before. */
  enter(state: State, now: Instant): boolean {
    const changed = state !== this.state;
    if (changed) this.since = now;
    this.state = state;
    return changed;
  }

  turned(now: Instant, restMs: number): void {
    this.turnedAt = now;
    this.restsUntil = addMs(now, restMs);
  }

  /** A step that was good, at least as far as it went. */
  moved({ position, history, atHead }: Step, now: Instant): void {
    this.position = position;
    this.history = history;
    if (atHead) this.caughtUpAt = now;
  }

  succeeded(step: Step, now: Instant): void {
    this.moved(step, now);
    this.goodAt = now;
    this.failures = 0;
  }

  /** Another replica mirrors: how far it is, is not known here. */
  stoodBy(now: Instant): void {
    this.position = undefined;
    this.history = undefined;
    this.caughtUpAt = undefined;
    this.goodAt = now;
    this.failures = 0;
  }

  failed(trouble: Trouble, failures: number, now: Instant): void {
    this.failures = failures;
    this.counts.failures += 1;
    this.lastTrouble = { trouble, at: now };
  }

  stored(saved: StepSaved): void {
    this.counts.pages += saved.pages;
    this.counts.updated += saved.updated;
    this.counts.quarantined += saved.quarantined;
    this.counts.gaps += saved.gaps;
    this.counts.late_events += saved.late;
    for (const [event, count] of saved.inserted) {
      const type = this.insertedByType.has(event) || this.insertedByType.size < MOST_TYPES ? event : "other";
      this.insertedByType.set(type, (this.insertedByType.get(type) ?? 0) + count);
      this.inserted += count;
    }
  }

  /** Everything up to this instant is stored, as far as is known. */
  get mirroredUpTo(): Instant | undefined {
    if (this.position === undefined) return this.caughtUpAt;
    return laterOf(this.position.at, this.caughtUpAt ?? this.position.at);
  }

  lagSeconds(now: Instant): number | undefined {
    const upTo = this.mirroredUpTo;
    return upTo === undefined ? undefined : Math.max(0, msOf(now) - msOf(upTo)) / 1000;
  }

  /** When the API begins to forget events that are not stored yet. */
  unrecoverableInSeconds(now: Instant): number | undefined {
    const lag = this.lagSeconds(now);
    return lag === undefined ? undefined : RETENTION_MS / 1000 - lag;
  }
}
