import { readdir, readFile } from "node:fs/promises";
import { registerHooks } from "node:module";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { TextDocument } from "vscode-languageserver-textdocument";
import { parse } from "yaml";

// GitHub's own package imports its schema as bundlers take it; Node wants to be told that it is JSON.
registerHooks({
  load: (url, context, load) =>
    load(url, url.endsWith(".json") ? { ...context, importAttributes: { type: "json" } } : context),
});
const { validate } = await import("@actions/languageservice");

interface Step {
  uses?: string;
  run?: string;
  with?: Record<string, unknown>;
}

interface Job {
  permissions?: Record<string, string>;
  "timeout-minutes"?: number;
  strategy?: { matrix: Record<string, (string | number)[]> };
  steps: Step[];
}

interface Workflow {
  permissions: Record<string, string>;
  jobs: Record<string, Job>;
}

const root = new URL("../../", import.meta.url);
const read = (file: string) => readFile(new URL(file, root), "utf8");
const folder = ".github/workflows/";
const files = await readdir(fileURLToPath(new URL(folder, root)));
const texts = new Map(await Promise.all(files.map(async (file) => [file, await read(folder + file)] as const)));
const ci: Workflow = parse(texts.get("ci.yml") ?? "");
const release: Workflow = parse(texts.get("release.yml") ?? "");

let checked = 0;

/** By GitHub's schema and what it knows of expressions. It remembers what it has read by its address. */
async function findMistakes(text: string): Promise<string[]> {
  checked += 1;
  const document = TextDocument.create(`file:///${checked}/${folder}workflow.yml`, "yaml", 1, text);
  return (await validate(document)).map(({ message, range }) => `${range.start.line + 1}: ${message}`);
}

const stepsOf = ({ jobs }: Workflow) => Object.values(jobs).flatMap(({ steps }) => steps);
const runsOf = (job: Job | undefined) => (job?.steps ?? []).flatMap(({ run }) => run ?? []);

test("there are two workflows", () => expect(files.sort()).toEqual(["ci.yml", "release.yml"]));

describe.each([...texts])("%s", (_, text) => {
  const workflow: Workflow = parse(text);

  test("is one that GitHub understands", async () => {
    expect(await findMistakes(text)).toEqual([]);
    const spoilt = text.replace("runs-on:", "run-on:").replace("timeout-minutes: 60", "timeout-minutes: long");
    const mistakes = (await findMistakes(spoilt)).map((mistake) => mistake.replace(/^\d+: /, ""));
    expect(mistakes.sort()).toEqual([
      "Required property is missing: runs-on",
      "Unexpected value 'long'",
      "Unexpected value 'run-on'",
    ]);
  });

  test("takes every action by its commit, and says which release that is", () => {
    const uses = [...text.matchAll(/uses: (.*)/g)].map(([, action]) => action);
    expect(uses.length).toBe(stepsOf(workflow).filter((step) => step.uses !== undefined).length);
    expect(uses.filter((action) => !/^[\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/.test(action ?? ""))).toEqual([]);
  });

  test("may only read, unless a job says otherwise, and leaves no token behind", () => {
    expect(workflow.permissions).toEqual({ contents: "read" });
    const checkouts = stepsOf(workflow).filter(({ uses }) => uses?.startsWith("actions/checkout@"));
    expect(checkouts.filter((step) => step.with?.["persist-credentials"] !== false)).toEqual([]);
  });

  test("puts nothing from outside into a script, and installs only what the lock file says", () => {
    const scripts = Object.values(workflow.jobs).flatMap(runsOf);
    expect(scripts.filter((script) => script.includes("${{") || /npm (i|install|add|exec)\b|npx/.test(script))).toEqual(
      [],
    );
  });

  test("lets no job hang", () => {
    expect(Object.values(workflow.jobs).filter((job) => job["timeout-minutes"] === undefined)).toEqual([]);
  });
});

test("CI does what .ci/run does, and the audits that it can't do everywhere", () => {
  expect(runsOf(ci.jobs.everything)).toEqual([".ci/run"]);
  expect(runsOf(ci.jobs.audit)).toEqual(["npm ci", "npm audit --omit=dev", "npm audit signatures"]);
  expect(Object.values(ci.jobs).filter(({ permissions }) => permissions !== undefined)).toEqual([]);
});

test("CI tests every PostgreSQL that the README promises, in its container", async () => {
  const [, from, to] = /PostgreSQL (\d+) to (\d+)/.exec(await read("README.md")) ?? [];
  const promised = Array.from({ length: Number(to) - Number(from) + 1 }, (_, index) => Number(from) + index);
  expect(ci.jobs.postgres?.strategy?.matrix).toEqual({ postgres: promised });
  expect(texts.get("ci.yml")).toContain(`TEST_POSTGRES_IMAGE: postgres:\${{ matrix.postgres }}-alpine`);
  expect(await read("test/support/global-setup.ts")).toContain("process.env.TEST_POSTGRES_IMAGE");
});

test("CI installs the package with the oldest Nodes that it says it needs, and newer ones", async () => {
  const [oldest, next] = ci.jobs.node?.strategy?.matrix.node ?? [];
  expect(JSON.parse(await read("package.json")).engines).toEqual({ node: `^${oldest}.0 || >=${next}.0` });
});

test("a release is verified first, and its image says what is in it and where it comes from", () => {
  expect(runsOf(release.jobs.verify).at(-1)).toBe(".ci/run");
  const { image, package: npm } = release.jobs;
  expect([image, npm]).toEqual([
    expect.objectContaining({ needs: "verify" }),
    expect.objectContaining({ needs: "verify" }),
  ]);
  expect(image?.permissions).toEqual({ contents: "read", packages: "write" });
  expect(npm?.permissions).toEqual({ contents: "read", "id-token": "write" });
  expect(image?.steps.at(-1)?.with).toMatchObject({
    platforms: "linux/amd64,linux/arm64",
    push: true,
    provenance: "mode=max",
    sbom: true,
    "build-args": expect.stringMatching(/^VERSION=.*\nREVISION=\$\{\{ github.sha \}\}\n$/),
  });
});
