import { mkdir, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { Bench, Measure } from "./bench.ts";
import { catchUp } from "./sections/catch-up.ts";
import { freshness } from "./sections/freshness.ts";
import { idle } from "./sections/idle.ts";
import { start } from "./sections/start.ts";
import { writePath } from "./sections/write-path.ts";
import { type Figure, median, meets, printSection, type Section } from "./tools/figures.ts";
import { describeMachine, sentenceOf } from "./tools/machine.ts";
import { BenchPostgres } from "./tools/postgres.ts";

const usage = `npm run bench -- [section …] [--only TEXT] [--rounds N] [--seconds N]

Sections: catch-up, write-path
No section: all of these but the long ones; 'all': everything.
--only TEXT   only the parts of a section whose name holds TEXT, such as '200ms'
--rounds N    how often each thing is measured
--seconds N   how long things that take a while are measured`;

const sections: Record<string, { measure: Measure; isLong?: boolean }> = {
  "catch-up": { measure: catchUp },
  "write-path": { measure: writePath },
  freshness: { measure: freshness },
  idle: { measure: idle },
  start: { measure: start },
};

async function main(): Promise<void> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: { only: { type: "string" }, rounds: { type: "string" }, seconds: { type: "string" } },
  });
  const isAll = positionals.includes("all");
  const names = isAll ? Object.keys(sections) : positionals.length > 0 ? positionals : shortOnes();
  await using postgres = await BenchPostgres.start();
  const { rows } = await postgres.run("show server_version");
  const machine = describeMachine(String(rows[0]?.server_version));
  console.log(sentenceOf(machine));
  const bench: Bench = {
    postgres,
    rounds: numberOf(values.rounds),
    seconds: numberOf(values.seconds),
    wants: (name, isExtra = false) => (values.only === undefined ? isAll || !isExtra : name.includes(values.only)),
    tell: (figures) => console.log(figures.map(lineOf).join("\n")),
  };
  const measured: Record<string, Section> = {};
  for (const name of names) {
    const section = await sections[name]?.measure(bench);
    if (section !== undefined) measured[name] = section;
  }
  console.log(`\n${"-".repeat(100)}\n${sentenceOf(machine)}`);
  for (const [name, section] of Object.entries(measured)) printSection(name, section);
  const folder = fileURLToPath(new URL("../.data", import.meta.url));
  await mkdir(folder, { recursive: true });
  await writeFile(`${folder}/bench.json`, `${JSON.stringify({ machine, sections: withMedians(measured) }, null, 2)}\n`);
}

function shortOnes(): string[] {
  return Object.keys(sections).filter((name) => sections[name]?.isLong !== true);
}

function numberOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const number = Number(text);
  if (number > 0) return number;
  throw new Error(`${text} is no number\n\n${usage}`);
}

function lineOf({ name, unit, values, note = "" }: Figure): string {
  return `    ${name}: ${median(values).toFixed(1)} ${unit} ${note}`;
}

function withMedians(measured: Record<string, Section>): unknown {
  return Object.fromEntries(
    Object.entries(measured).map(([name, { title, figures }]) => [
      name,
      { title, figures: figures.map((figure) => ({ ...figure, median: median(figure.values), met: meets(figure) })) },
    ]),
  );
}

if (process.argv.includes("--help")) console.log(usage);
else await main();
