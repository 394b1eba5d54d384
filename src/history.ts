import { type Instant, msOf } from "./instant.ts";

/** A slice of history, and how far it was read. */
export interface HistoryRange {
  rangeStart: Instant;
  rangeEnd: Instant;
  at: Instant;
  startedAt: Instant;
}

/** How much of history was read, by time, and how long the rest will take if it goes on like that. */
export interface HistoryProgress {
  /** From 0 to 1. */
  share: number;
  /** Undefined before anything can be told. */
  secondsLeft: number | undefined;
}

/** Undefined when there is no history to be read. */
export function progressOf(ranges: readonly HistoryRange[], now: Instant): HistoryProgress | undefined {
  if (ranges.length === 0) return undefined;
  const total = sum(ranges, ({ rangeStart, rangeEnd }) => msOf(rangeEnd) - msOf(rangeStart));
  const read = sum(ranges, ({ rangeStart, rangeEnd, at }) => Math.min(msOf(at), msOf(rangeEnd)) - msOf(rangeStart));
  const share = total <= 0 ? 1 : read / total;
  const startedMs = Math.min(...ranges.map(({ startedAt }) => msOf(startedAt)));
  const secondsLeft = ((msOf(now) - startedMs) * (1 - share)) / share / 1000;
  return { share, secondsLeft: share < 0.005 || secondsLeft < 0 ? undefined : secondsLeft };
}

/** Such as `63 %, 41 minutes left`. */
export function sentenceOf({ share, secondsLeft }: HistoryProgress): string {
  const percent = `${Math.floor(share * 100)} %`;
  return secondsLeft === undefined ? percent : `${percent}, ${durationOf(secondsLeft)} left`;
}

function durationOf(seconds: number): string {
  const units = [
    ["day", 86_400],
    ["hour", 3_600],
    ["minute", 60],
  ] as const;
  const [name, length] = units.find(([, unit]) => seconds >= 2 * unit) ?? (["second", 1] as const);
  const count = Math.round(seconds / length);
  return `${count} ${name}${count === 1 ? "" : "s"}`;
}

function sum(ranges: readonly HistoryRange[], read: (range: HistoryRange) => number): number {
  return ranges.reduce((total, range) => total + Math.max(0, read(range)), 0);
}
