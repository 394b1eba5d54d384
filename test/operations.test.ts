import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { createMetrics } from "../src/http/metrics.ts";
import { instantOf } from "../src/instant.ts";
import { STATES, Status } from "../src/status.ts";

// docs/operations.md names everything that can be watched, and nothing else.

const page = readFileSync(new URL("../docs/operations.md", import.meta.url), "utf8");

/** The words in backticks of a chapter, or of the first column of its tables. */
function named(chapter: string, pattern: RegExp): string[] {
  const [, text = ""] = page.split(`## ${chapter}\n`);
  const [until = ""] = text.split("\n## ");
  return [...until.matchAll(pattern)].map(([, name = ""]) => name).sort();
}

test("names every state", () => {
  expect(named("Is it well?", /^\| `([a-z_]+)` /gm)).toEqual([...STATES].sort());
});

test("names every metric", () => {
  const status = new Status({ version: "1", environment: "default", filter: "*" }, instantOf(Date.now()));
  const metrics = createMetrics(status).registry.getMetricsAsArray();
  const own = metrics.map(({ name }) => name).filter((name) => name.startsWith("workos_mirror_"));
  expect(named("Alerts", /^\| `([a-z_]+)` /gm)).toEqual(own.sort());
});

test("names every code of the log", () => {
  const source = new URL("../src/", import.meta.url);
  const files = readdirSync(source, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));
  const texts = files.map((name) => readFileSync(new URL(name, source), "utf8")).join("\n");
  const given = [/\bcode: "([a-z_]+)"/g, /\bcode: [^,]*\? "([a-z_]+)" : "([a-z_]+)"/g, /pageTrouble\(\s*"([a-z_]+)"/g];
  const codes = new Set(given.flatMap((pattern) => [...texts.matchAll(pattern)].flatMap(([, ...names]) => names)));
  // the words before a colon are the heading of their line
  expect(named("Every `code` in the log", /`([a-z_]+)`(?!.*:\*\*)/g)).toEqual([...codes].sort());
});
