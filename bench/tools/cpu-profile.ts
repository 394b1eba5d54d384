import { readFileSync } from "node:fs";

interface CallFrame {
  functionName: string;
  url: string;
  lineNumber: number;
}

interface CpuProfile {
  nodes: { id: number; callFrame: CallFrame }[];
  samples: number[];
  timeDeltas: number[];
}

export interface SelfTime {
  /** A function and the file that it is in, or a package. */
  name: string;
  ms: number;
}

export interface Profile {
  /** Without what was waited. */
  busyMs: number;
  functions: SelfTime[];
  packages: SelfTime[];
}

/** Self time by function and by package, from what `node --cpu-prof` wrote about one bundled file. */
export function readProfile(file: string, bundle: string): Profile {
  const { nodes, samples, timeDeltas }: CpuProfile = JSON.parse(readFileSync(file, "utf8"));
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
  const sourceAt = sourcesOf(readFileSync(bundle, "utf8"));
  const functions = new Map<string, number>();
  const packages = new Map<string, number>();
  let busyMs = 0;
  for (const [place, id] of samples.entries()) {
    const frame = frames.get(id);
    const ms = (timeDeltas[place] ?? 0) / 1_000;
    if (frame === undefined || frame.functionName === "(idle)") continue;
    busyMs += ms;
    const source = frame.url.endsWith("/main.js") ? sourceAt(frame.lineNumber) : frame.url;
    add(functions, `${frame.functionName || "(anonymous)"} ${source}`.trim(), ms);
    add(packages, packageOf(source, frame.functionName), ms);
  }
  return { busyMs, functions: longestFirst(functions), packages: longestFirst(packages) };
}

/** esbuild begins each module with a comment that names it. */
function sourcesOf(bundle: string): (line: number) => string {
  const lines = bundle.split("\n").map((line) => /^\s*\/\/ ((?:node_modules|src)\/\S+)$/.exec(line)?.[1]);
  let source = "dist/main.js";
  const sources = lines.map((named) => {
    source = named ?? source;
    return source;
  });
  return (line) => sources[line] ?? "dist/main.js";
}

function packageOf(source: string, functionName: string): string {
  const named = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(source)?.[1];
  if (named !== undefined) return named;
  if (source.startsWith("src/")) return source;
  if (source === "") return functionName.startsWith("(") ? functionName : "native";
  return /^node:internal\/deps\/[^/]+/.exec(source)?.[0] ?? /^node:(?:internal\/)?[^/]+/.exec(source)?.[0] ?? source;
}

function add(sums: Map<string, number>, name: string, ms: number): void {
  sums.set(name, (sums.get(name) ?? 0) + ms);
}

function longestFirst(sums: ReadonlyMap<string, number>): SelfTime[] {
  return [...sums].map(([name, ms]) => ({ name, ms })).sort((one, other) => other.ms - one.ms);
}
