import { progressOf, sentenceOf } from "./history.ts";
import type { Instant } from "./instant.ts";
import type { Report } from "./postgres/report.ts";

/** What `status --json` prints. */
export interface StatusReport extends Report {
  /** Of each mirror that catches up with history beside the present. `read` is a share from 0 to 1. */
  history: { environment: string; filter: string; read: number; seconds_left: number | null }[];
}

type CursorRow = Report["cursors"][number];

export function statusOf(report: Report, now: Instant): StatusReport {
  const history = headsOf(report).flatMap(({ environment, filter }) => {
    const ranges = report.cursors.flatMap((row) => {
      const isOf = row.environment === environment && row.filter === filter;
      if (!isOf || row.range_start === null || row.range_end === null) return [];
      return [{ rangeStart: row.range_start, rangeEnd: row.range_end, at: row.at, startedAt: row.started_at }];
    });
    const progress = progressOf(ranges, now);
    if (progress === undefined) return [];
    return [{ environment, filter, read: progress.share, seconds_left: progress.secondsLeft ?? null }];
  });
  return { ...report, history };
}

/** One row for each mirror: that which follows the present. */
function headsOf({ cursors }: Report): CursorRow[] {
  return cursors.filter(({ range_end: end }) => end === null);
}

/** Beyond this the number is the planner's estimate. */
const EXACT_UP_TO = 10_000;

/** For a person to read. */
export function linesOf(status: StatusReport): string[] {
  const { last_event: last, events, quarantined_events: quarantined, gaps } = status;
  const heads = headsOf(status);
  const nameOf = ({ environment, filter }: { environment: string; filter: string }) => `${environment} ${filter}: `;
  return [
    `events       ${events < EXACT_UP_TO ? events : `about ${events}`}`,
    `last stored  ${last === null ? "none" : `${last.id} ${last.event}, created ${last.created_at}, mirrored ${last.mirrored_at}`}`,
    `quarantined  ${quarantined}${quarantined === 0 ? "" : "   see workos.quarantined_events"}`,
    `gaps         ${gaps}${gaps === 0 ? "" : "   see workos.gaps"}`,
    ...(heads.length === 0 ? ["cursors      none: nothing was mirrored yet"] : []),
    ...heads.map(
      (row) =>
        `cursor       ${nameOf(row)}${row.after === null ? `from ${row.at}` : `after ${row.after} of ${row.at}`}, moved ${row.updated_at}`,
    ),
    ...status.history.map(({ read, seconds_left: left, ...key }) => {
      const sentence = sentenceOf({ share: read, secondsLeft: left ?? undefined });
      return `history      ${heads.length > 1 ? nameOf(key) : ""}${sentence}`;
    }),
  ];
}
