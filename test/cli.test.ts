import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { parseCommandLine } from "../src/cli.ts";
import { msOf } from "../src/instant.ts";
import { VARIABLES } from "../src/variables.ts";

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const CLI = new URL("../src/cli.ts", import.meta.url).href;
/** Starts in a tenth of the real program's time. */
const ONLY_CLI = `
  const { parseCommandLine } = await import(process.argv[1]);
  process.exitCode = parseCommandLine(process.argv.slice(2), "1.2.3").exit;`;
const DAY_MS = 86_400_000;

interface Output {
  exit: number | null;
  stdout: string;
  stderr: string;
}

function runNode(args: string[], env: Record<string, string> = {}): Promise<Output> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, args, { env }, (_, stdout, stderr) =>
      resolve({ exit: child.exitCode, stdout, stderr }),
    );
  });
}

const call = (...args: string[]) => runNode(["--input-type=module", "--eval", ONLY_CLI, "--", CLI, ...args]);

test("understands every verb, and takes none for run", () => {
  const lines = [[], ["run"], ["sync"], ["migrate"], ["check"], ["status"], ["status", "--json"]];
  expect(lines.map((args) => parseCommandLine(args, "1.2.3"))).toEqual([
    { verb: { name: "run" } },
    { verb: { name: "run" } },
    { verb: { name: "sync" } },
    { verb: { name: "migrate" } },
    { verb: { name: "check" } },
    { verb: { name: "status", json: false } },
    { verb: { name: "status", json: true } },
  ]);
});

test("takes a backfill's range as dates, as times with a zone, or as durations before now", () => {
  const backfill = (...args: string[]) => parseCommandLine(["backfill", ...args], "1.2.3");
  expect(backfill("--since", "2026-07-01", "--until=2026-07-08T12:00:00+02:00")).toEqual({
    verb: { name: "backfill", since: "2026-07-01T00:00:00.000000Z", until: "2026-07-08T10:00:00.000000Z" },
  });

  const before = Date.now();
  const lines = [
    ["--since", "7d"],
    ["--since", "7d", "--until", "2d"],
  ].map((args) => backfill(...args));
  const after = Date.now();
  const lengths = lines.map((line) => {
    if (!("verb" in line) || line.verb.name !== "backfill") throw new Error("no backfill");
    const { since, until } = line.verb;
    expect(msOf(since) + 7 * DAY_MS).toBeGreaterThanOrEqual(before);
    expect(msOf(since) + 7 * DAY_MS).toBeLessThanOrEqual(after);
    return until === undefined ? undefined : msOf(until) - msOf(since);
  });
  expect(lengths).toEqual([undefined, 5 * DAY_MS]);
});

test("takes verify's range like a backfill's, and its options in any order", () => {
  const range = { since: "2026-07-01T00:00:00.000000Z", until: "2026-07-02T00:00:00.000000Z" };
  const verify = (...args: string[]) =>
    parseCommandLine(["verify", ...args, "--since", "2026-07-01", "--until", "2026-07-02"], "1.2.3");
  const off = { json: false, list: false, repair: false };
  expect(verify()).toEqual({ verb: { name: "verify", ...range, ...off } });
  expect(verify("--repair", "--list")).toEqual({
    verb: { name: "verify", ...range, ...off, list: true, repair: true },
  });
  expect(verify("--json")).toEqual({ verb: { name: "verify", ...range, ...off, json: true } });
});

test("explains itself on request: every verb and every variable, exit 0, on standard output", async () => {
  const [help, sameHelp, ofVerb, version] = await Promise.all([
    call("--help"),
    call("help"),
    call("help", "backfill"),
    call("--version"),
  ]);
  expect(help).toEqual({ exit: 0, stdout: expect.stringMatching(/^Usage: workos-events-mirror /), stderr: "" });
  const words = [
    "run",
    "sync",
    "backfill",
    "verify",
    "check",
    "status",
    "migrate",
    ...VARIABLES,
    "Exit codes: 0 done, 1 failed, 2",
  ];
  expect(words.filter((word) => !help.stdout.includes(word))).toEqual([]);
  expect(help.stdout.split("\n").filter((line) => line.length > 120)).toEqual([]);
  expect(sameHelp).toEqual(help);
  expect(ofVerb).toEqual({ exit: 0, stdout: expect.stringMatching(/--since <time>[\s\S]*--until <time>/), stderr: "" });
  expect(version).toEqual({ exit: 0, stdout: "1.2.3\n", stderr: "" });
});

const mistakes: [args: string[], said: string][] = [
  [["--sinse"], "unknown option '--sinse'"],
  [["snyc"], "unknown command 'snyc'"],
  [["sync", "now"], "too many arguments for 'sync'"],
  [["status", "--jsn"], "Did you mean --json?"],
  [["backfill"], "required option '--since <time>' not specified"],
  [["backfill", "--since"], "argument missing"],
  [["backfill", "--since", "soon"], "'soon' is invalid. It must be ISO 8601 or a duration such as 7d."],
  [["backfill", "--since", "2026-02-30"], "'2026-02-30' is invalid."],
  [["backfill", "--since", "7d", "--until", "7d"], "--since must lie before --until"],
  [["backfill", "--since", "2999-01-01"], "--since lies in the future"],
  [["verify"], "required option '--since <time>' not specified"],
  [["verify", "--since", "7d", "--until", "8d"], "--since must lie before --until"],
  [["verify", "--since", "7d", "--repiar"], "Did you mean --repair?"],
];

test("answers each mistake with a sentence on standard error, exit 2, and no stack", async () => {
  const outputs = await Promise.all(mistakes.map(([args]) => call(...args)));
  expect(outputs).toEqual(mistakes.map(([, said]) => ({ exit: 2, stdout: "", stderr: expect.stringContaining(said) })));
  expect(outputs.filter(({ stderr }) => /\n\s+at /.test(stderr) || !stderr.startsWith("error: "))).toEqual([]);
});

test("ends with 2 and the whole list when the configuration is wrong, before anything is opened", async () => {
  expect(await runNode([MAIN, "sync"])).toEqual({
    exit: 2,
    stdout: "",
    stderr: expect.stringMatching(/^the configuration has 2 mistakes:\n {2}WORKOS_API_KEY .*\n {2}DATABASE_URL .*\n$/),
  });
});

test("says which version it is: the package's, or what the image was built as", async () => {
  const { version }: { version: string } = JSON.parse(
    await readFile(new URL("../package.json", import.meta.url), "utf8"),
  );
  const built = { MIRROR_VERSION: "1.2.3", MIRROR_REVISION: "0123abc" };
  const told = await Promise.all([runNode([MAIN, "--version"]), runNode([MAIN, "--version"], built)]);
  expect(told.map(({ stdout }) => stdout)).toEqual([`${version}\n`, "1.2.3 (0123abc)\n"]);
});
