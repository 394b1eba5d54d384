/** A line of the table: the median of its rounds beside what it should be. */
export interface Figure {
  name: string;
  unit: string;
  /** One for each round. */
  values: readonly number[];
  target?: { atLeast: number } | { atMost: number };
  note?: string;
}

export interface Section {
  /** What is measured, and how, in a sentence or two: it stands above the table. */
  title: string;
  figures: Figure[];
  /** How much of the machine's processors other programs took meanwhile. */
  othersPercent?: number;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}

/** The smallest value that so many of 100 do not exceed. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? Number.NaN;
}

export function meets({ values, target }: Figure): boolean | undefined {
  if (target === undefined) return undefined;
  const value = median(values);
  return "atLeast" in target ? value >= target.atLeast : value <= target.atMost;
}

export function titleOf({ title, othersPercent = 0 }: Section): string {
  return `${title}. Other programs took ${othersPercent} % of the processors meanwhile`;
}

export function printSection(name: string, section: Section): void {
  const { figures } = section;
  console.log(`\n${name}: ${titleOf(section)}\n`);
  const rows = figures.map((figure) => [figure.name, shown(figure), spread(figure), aim(figure), verdict(figure)]);
  const widths = [0, 1, 2, 3].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  for (const [place, row] of rows.entries()) {
    const cells = row.map((cell, column) =>
      column === 1 ? cell.padStart(widths[1] ?? 0) : cell.padEnd(widths[column] ?? 0),
    );
    const note = figures[place]?.note;
    console.log(`  ${[...cells, ...(note === undefined ? [] : [note])].join("  ").trimEnd()}`);
  }
}

export function shown({ values, unit }: Figure): string {
  return `${rounded(median(values))} ${unit}`;
}

export function spread({ values }: Figure): string {
  return values.length < 2 ? "" : `(${rounded(Math.min(...values))} … ${rounded(Math.max(...values))})`;
}

export function aim({ target }: Figure): string {
  if (target === undefined) return "";
  return "atLeast" in target ? `target >= ${target.atLeast}` : `target <= ${target.atMost}`;
}

function verdict(figure: Figure): string {
  const isMet = meets(figure);
  if (isMet === undefined) return "      ";
  return isMet ? "ok    " : "MISSES";
}

function rounded(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString("en", { maximumFractionDigits: digits });
}
