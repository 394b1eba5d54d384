import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { expectMirrored } from "../support/mirrored.ts";
import { startSimulatedApi } from "../support/simulated-api.ts";
import { generateEvents } from "../support/simulated-events.ts";
import { createTestDatabase } from "../support/test-database.ts";
import { packagesOf, writeNotices } from "./notices.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
/** The machine's own Node and npm, not those that this repository pins. */
const path = (process.env.PATH ?? "").split(delimiter).filter((place) => !place.includes("node_modules"));
const env = { PATH: path.join(delimiter), HOME: process.env.HOME ?? tmpdir() };

let folder: string;
let tarball: string;

/** Packed as a clone would be, but elsewhere: packing changes package.json for a moment, and other tests read it. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "workos-events-mirror-package-"));
  const clone = join(folder, "clone");
  const left = new Set(["node_modules", "dist", ".git", ".data"]);
  await cp(root, clone, { recursive: true, filter: (path) => !left.has(basename(path)) });
  await symlink(join(root, "node_modules"), join(clone, "node_modules"));
  await writeFile(join(clone, ".env"), "WORKOS_API_KEY=sk_secret\n");
  await run(clone, "npm", "pack", "--silent", "--pack-destination", folder);
  tarball = (await run(folder, "find", ".", "-name", "*.tgz")).trim();
});

afterAll(() => rm(folder, { recursive: true }));

async function run(cwd: string, program: string, ...args: string[]): Promise<string> {
  return (await promisify(execFile)(program, args, { cwd, env })).stdout;
}

const lines = (text: string) => text.trim().split("\n");
const jsonOf = async (...path: string[]) => JSON.parse(await readFile(join(...path), "utf8"));

test("the package holds what it needs to run, and nothing else", async () => {
  const migrations = lines(await run(root, "find", "migrations", "-name", "*.sql"));
  expect(lines(await run(folder, "tar", "--list", "--file", tarball)).sort()).toEqual(
    [
      "CHANGELOG.md",
      "LICENSE",
      "README.md",
      "THIRD-PARTY-NOTICES.txt",
      "dist/main.js",
      "migrations/meta/_journal.json",
      "package.json",
      ...migrations,
    ]
      .map((file) => `package/${file}`)
      .sort(),
  );
});

test("packing leaves the clone as it was", async () => {
  expect(await jsonOf(folder, "clone/package.json")).toEqual(await jsonOf(root, "package.json"));
});

test("installed elsewhere, without a registry in reach, it mirrors", async () => {
  const place = join(folder, "elsewhere");
  await mkdir(place);
  await writeFile(join(place, "package.json"), "{}");
  // nothing that runs comes out of a registry: all of it is in the bundle
  await run(place, "npm", "install", "--offline", "--no-audit", "--no-fund", join(folder, tarball));
  expect(lines(await run(place, "ls", "node_modules"))).toEqual(["workos-events-mirror"]);

  const mirror = (...args: string[]) => run(place, "npx", "--offline", "workos-events-mirror", ...args);
  expect(await mirror("--help")).toMatch(/^Usage: workos-events-mirror /);
  expect((await mirror("--version")).trim()).toBe((await jsonOf(root, "package.json")).version);

  await using database = await createTestDatabase();
  const now = Date.now();
  const events = generateEvents({ count: 250, from: now - 9 * 86_400_000, to: now - 60_000 });
  await using api = await startSimulatedApi({ events });
  Object.assign(env, { WORKOS_API_KEY: api.apiKey, WORKOS_BASE_URL: api.url, DATABASE_URL: database.url });
  expect(await mirror("migrate")).toMatch(/migration/);
  // pretty lines need a package that is loaded only for them
  Object.assign(env, { LOG_FORMAT: "pretty" });
  expect(await mirror("sync")).toMatch(/caught up/);
  await expectMirrored(database.pool, api.events);
});

// `npx vitest run --update test/package` writes the file anew.
test("THIRD-PARTY-NOTICES.txt has the license of every package in the bundle", async () => {
  const clone = join(folder, "clone");
  await run(clone, "npm", "run", "build", "--", "--metafile=metafile.json");
  const packages = packagesOf(Object.keys((await jsonOf(clone, "metafile.json")).inputs), clone);
  expect(packages.map(({ name }) => name)).toEqual(expect.arrayContaining(["pg", "drizzle-orm", "pino-pretty"]));
  // each of which asks for its notice and nothing else; another one is for a person to decide on
  expect(packages.filter(({ license }) => !["MIT", "ISC", "BSD-3-Clause", "Apache-2.0"].includes(license))).toEqual([]);
  await expect(writeNotices(packages)).toMatchFileSnapshot("../../THIRD-PARTY-NOTICES.txt");
});
