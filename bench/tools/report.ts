import { mkdir, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { aim, median, meets, type Section, shown, spread, titleOf } from "./figures.ts";
import { type Machine, sentenceOf } from "./machine.ts";

export interface Report {
  machine: Machine;
  sections: Record<string, Section>;
}

const file = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

export async function writeJson({ machine, sections }: Report): Promise<void> {
  const withMedians = Object.fromEntries(
    Object.entries(sections).map(([name, { figures, ...section }]) => [
      name,
      {
        ...section,
        figures: figures.map((figure) => ({ ...figure, median: median(figure.values), met: meets(figure) })),
      },
    ]),
  );
  await mkdir(file(".data"), { recursive: true });
  await writeFile(file(".data/bench.json"), `${JSON.stringify({ machine, sections: withMedians }, null, 2)}\n`);
}

/** What the README quotes. */
export async function writeSummary({ machine, sections }: Report): Promise<void> {
  const tables = Object.entries(sections).map(
    ([name, section]) => `## ${name}\n\n${titleOf(section)}.\n\n${tableOf(section)}`,
  );
  const head = `# The last full run\n\nWritten by \`npm run bench -- all\` on ${machine.at.slice(0, 10)}: ${sentenceOf(machine)}.`;
  await writeFile(file("bench/results.md"), `${[head, ...tables].join("\n\n")}\n`);
}

function tableOf({ figures }: Section): string {
  const rows = figures.map((figure) => {
    const isMet = meets(figure);
    const verdict = isMet === undefined ? "" : isMet ? "met" : "missed";
    const value = [shown(figure), spread(figure)].join(" ").trim();
    return `| ${[figure.name, value, aim(figure), verdict, figure.note ?? ""].join(" | ")} |`;
  });
  return ["| figure | median | target | | |", "| --- | ---: | --- | --- | --- |", ...rows].join("\n");
}
