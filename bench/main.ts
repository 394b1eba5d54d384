import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import type { Bench, Measure } from "./bench.ts";
import { catchUp } from "./sections/catch-up.ts";
import { freshness } from "./sections/freshness.ts";
import { growth } from "./sections/growth.ts";
import { idle } from "./sections/idle.ts";
import { memory } from "./sections/memory.ts";
import { profile } from "./sections/profile.ts";
import { start } from "./sections/start.ts";
import { writePath } from "./sections/write-path.ts";
import { type Figure, median, printSection, type Section } from "./tools/figures.ts";
import { describeMachine, sentenceOf } from "./tools/machine.ts";
import { BenchPostgres } from "./tools/postgres.ts";
import { writeJson, writeSummary } from "./tools/report.ts";
import { cpuSecondsOfMachine, cpuSecondsOfTree } from "./tools/usage.ts";

const usage = `npm run bench -- [section …] [--only TEXT] [--rounds N] [--seconds N]

Sections: catch-up, write-path, freshness, idle, start; long: memory, growth, profile
No section: all but the long ones, in less than ten minutes; 'all': everything.
--only TEXT   only the parts of a section whose name holds TEXT, such as '200ms'
--rounds N    how often each thing is measured
--seconds N   how long things that take a while are measured`;

const sections: Record<string, { measure: Measure; isLong?: boolean }> = {
  "catch-up": { measure: catchUp },
  "write-path": { measure: writePath },
  freshness: { measure: freshness },
  idle: { measure: idle },
  start: { measure: start },
  memory: { measure: memory, isLong: true },
  growth: { measure: growth, isLong: true },
  profile: { measure: profile, isLong: true },
};

async function main(): Promise<void> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: { only: { type: "string" }, rounds: { type: "string" }, seconds: { type: "string" } },
  });
  const unknown = positionals.find((name) => name !== "all" && !(name in sections));
  if (unknown !== undefined) throw new Error(`there is no section ${unknown}\n\n${usage}`);
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
    isFull: isAll,
    wants: (name, isExtra = false) => (values.only === undefined ? isAll || !isExtra : name.includes(values.only)),
    tell: (figures) => console.log(figures.map(lineOf).join("\n")),
  };
  const measured: Record<string, Section> = {};
  const stop = interrupted();
  for (const name of names) {
    const measure = sections[name]?.measure;
    if (measure !== undefined) measured[name] = await Promise.race([withNeighbours(bench, measure), stop]);
  }
  console.log(`\n${"-".repeat(100)}\n${sentenceOf(machine)}`);
  for (const [name, section] of Object.entries(measured)) printSection(name, section);
  await writeJson({ machine, sections: measured });
  if (isAll && values.only === undefined) await writeSummary({ machine, sections: measured });
}

/** Rejects on Ctrl-C, so that everything is cleared away that was started. */
function interrupted(): Promise<never> {
  return new Promise((_, reject) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => reject(new Error(signal)));
  });
}

/** How much of the machine others took meanwhile: figures are to be trusted as far as that is little. */
async function withNeighbours(bench: Bench, measure: Measure): Promise<Section> {
  const others = async () =>
    cpuSecondsOfMachine() - cpuSecondsOfTree(process.pid) - (await bench.postgres.cpuSeconds());
  const started = performance.now();
  const before = await others();
  const section = await measure(bench);
  const cores = ((await others()) - before) / ((performance.now() - started) / 1_000);
  return { ...section, othersPercent: Math.round((100 * Math.max(0, cores)) / availableParallelism()) };
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

if (process.argv.includes("--help")) console.log(usage);
else {
  await main().catch((error: unknown) => {
    console.error(error);
    // whatever is still being measured would keep it alive
    process.exit(1);
  });
}
