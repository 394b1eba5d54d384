import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";

interface Locked {
  version?: string;
  integrity?: string;
  resolved?: string;
  os?: string[];
  cpu?: string[];
  optional?: boolean;
  extraneous?: boolean;
  hasInstallScript?: boolean;
}

const jsonOf = async (file: string) => JSON.parse(await readFile(new URL(`../../${file}`, import.meta.url), "utf8"));
const manifest = await jsonOf("package.json");
const locked: Record<string, Locked> = (await jsonOf("package-lock.json")).packages;
const packages = Object.entries(locked).filter(([path]) => path !== "");
const pathsOf = (which: (entry: Locked) => boolean | undefined) =>
  packages.flatMap(([path, entry]) => (which(entry) ? [path] : []));

test("every package is held by its content, wherever it comes from", () => {
  expect(pathsOf(({ integrity }) => !integrity?.startsWith("sha512-"))).toEqual([]);
  expect(pathsOf(({ resolved }) => resolved !== undefined)).toEqual([]);
});

// npm 10, which Node 20 and 22 bring along, refuses the whole file otherwise; npm 11.19 says nothing.
test("what is for other machines is optional, and nothing is left over", () => {
  expect(pathsOf(({ os, cpu, optional }) => (os ?? cpu) !== undefined && !optional)).toEqual([]);
  expect(pathsOf(({ extraneous }) => extraneous)).toEqual([]);
});

test("no package runs a script when it is installed that package.json does not allow or deny by name", () => {
  const nameOf = (path: string) => path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);
  const names = new Set(pathsOf(({ hasInstallScript }) => hasInstallScript).map(nameOf));
  expect(Object.keys(manifest.allowScripts).sort()).toEqual([...names].sort());
});

test("direct dependencies are pinned", () => {
  const versions = Object.values({ ...manifest.dependencies, ...manifest.devDependencies });
  expect(versions.filter((version) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(String(version)))).toEqual([]);
});
