import type { Gap, Position, SavedEvents, SavedPages } from "./event.ts";
import type { HistoryProgress } from "./history.ts";
import type { News } from "./news.ts";
import type { ReadPage } from "./slice.ts";

/** What a step stored. */
export interface StepSaved extends SavedEvents {
  pages: number;
  gaps: number;
  /** Events that had turned up behind the cursor. */
  late: number;
}

export interface Step {
  /** Nothing can be done now: time to rest. */
  rest: boolean;
  /** Everything that the API gives is stored. */
  atHead: boolean;
  /** Another part of what is read side by side could not be read the last time. */
  isFailing?: boolean;
  /** Everything up to here is stored. */
  position: Position;
  /** Of what is caught up with beside the present. */
  history?: HistoryProgress | undefined;
  saved?: StepSaved;
  requestId?: string | undefined;
  news: readonly News[];
}

/** Everything that a step wrote, taken together. */
export function savedOf(
  moved: readonly SavedPages[],
  swept: readonly SavedEvents[],
  pages: number,
  late: number,
): Pick<Step, "saved"> {
  const all = [...moved, ...swept];
  if (all.length === 0) return {};
  const inserted = new Map<string, number>();
  for (const saved of all) {
    for (const [event, count] of saved.inserted) inserted.set(event, (inserted.get(event) ?? 0) + count);
  }
  const updated = all.reduce((sum, saved) => sum + saved.updated, 0);
  const quarantined = all.reduce((sum, saved) => sum + saved.quarantined, 0);
  const gaps = moved.reduce((sum, saved) => sum + saved.gaps.length, 0);
  return { saved: { inserted, updated, quarantined, pages, gaps, late } };
}

export function countOf(inserted: ReadonlyMap<string, number>): number {
  return [...inserted.values()].reduce((sum, count) => sum + count, 0);
}

export function newsOfWindow({ from, lead }: ReadPage): News[] {
  if (typeof lead !== "object" || lead.to.after !== undefined) return [];
  const message = "the API has nothing in this window: going on behind it";
  return [{ level: "info", code: "window_empty", message, fields: { from: from.at, to: lead.to.at } }];
}

export function newsOfLate(count: number): News {
  const message = "events had turned up behind the cursor: found by reading the recent past once more, and stored";
  return { level: "warn", code: "late_events", message, fields: { count } };
}

export function newsOfGaps(gaps: readonly Gap[]): News[] {
  const message = "events of this range can't be had from the API any more: recorded in workos.gaps";
  return gaps.map((gap) => ({ level: "error", code: "gap", message, fields: { ...gap } }));
}

export function newsOf(answers: readonly (SavedEvents & Partial<SavedPages>)[], environment: string): News[] {
  const news = newsOfGaps(answers.flatMap(({ gaps = [] }) => gaps));
  const count = answers.reduce((sum, { quarantined }) => sum + quarantined, 0);
  if (count > 0) {
    const message = "events that are not valid, or that jsonb can't hold: kept in workos.quarantined_events";
    news.push({ level: "warn", code: "quarantined", message, fields: { environment, count } });
  }
  return news;
}
