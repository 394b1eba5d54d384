import { type EventFilter, filterKey } from "./event.ts";
import type { Findings, Wrong } from "./findings.ts";
import type { Instant } from "./instant.ts";
import type { News } from "./news.ts";
import type { VerificationOptions } from "./verification.ts";

const KINDS: readonly Wrong[] = ["missing", "different", "extra"];

/** What `verify --json` prints. */
export interface VerificationReport {
  environment: string;
  filter: string;
  since: Instant;
  until: Instant;
  /** False when it was stopped before the end of the range. */
  finished: boolean;
  /** Events that the API gave. */
  read: number;
  missing: number;
  different: number;
  /** Null: not looked for. */
  extra: number | null;
  /** Those of them that the API need not give any more. */
  extra_expected: number | null;
  repaired: number;
  /** Parts of the range that the API does not give any more. */
  forgotten: readonly { since: Instant; until: Instant }[];
  /** Sorted, by what is wrong; only when they were asked for. */
  ids?: Record<Wrong, readonly string[]>;
}

export function reportOf(
  findings: Findings,
  { environment, filter }: { environment: string; filter: EventFilter },
  { since, until, lists }: VerificationOptions,
  finished: boolean,
): VerificationReport {
  const { read, repaired, forgotten, expected } = findings;
  const { missing, different, extra } = findings.counts;
  const isExtraKnown = filter.organizationId === undefined;
  const list = (wrong: Wrong) => findings.list(wrong);
  return {
    environment,
    filter: filterKey(filter),
    since,
    until,
    finished,
    read,
    missing,
    different,
    extra: isExtraKnown ? extra : null,
    extra_expected: isExtraKnown ? Math.min(expected, extra) : null,
    repaired,
    forgotten,
    ...(lists ? { ids: { missing: list("missing"), different: list("different"), extra: list("extra") } } : {}),
  };
}

/** A line for each event with which something is wrong. */
export function linesOf({ ids }: VerificationReport): string[] {
  return KINDS.flatMap((wrong) => (ids?.[wrong] ?? []).map((id) => `${wrong.padEnd(9)}  ${id}`));
}

/** What the log says in the end. */
export function newsOf({ forgotten, finished, ...report }: VerificationReport): News[] {
  const { read, missing, different, extra, extra_expected, repaired } = report;
  const fields = { read, missing, different, extra, extra_expected, repaired };
  return [...forgotten.map(newsOfForgotten), finished ? verdictOf(fields) : newsOfStop(fields)];
}

type Counts = Pick<VerificationReport, "read" | "missing" | "different" | "extra" | "extra_expected" | "repaired">;

function verdictOf(fields: Counts): News {
  const wrong = fields.missing + fields.different;
  if (wrong === 0) {
    const message = "verify done: the table holds every event of the range just as the API gives it";
    return { level: "info", code: "complete", message, fields: { ...fields } };
  }
  if (fields.repaired >= wrong) {
    const message = "verify done: what was missing or different is written now";
    return { level: "warn", code: "repaired", message, fields: { ...fields } };
  }
  const message = "verify done: events are missing or different";
  const whatToDo = "see which with --list, and write them with --repair";
  return { level: "error", code: "incomplete", message, fields: { ...fields, whatToDo } };
}

function newsOfStop(fields: Counts): News {
  return {
    level: "info",
    code: "stopped",
    message: "verify stopped before the end of the range",
    fields: { ...fields },
  };
}

function newsOfForgotten(range: VerificationReport["forgotten"][number]): News {
  const message = "the API does not give events of this range any more: they were not compared";
  return { level: "warn", code: "forgotten", message, fields: { ...range } };
}
