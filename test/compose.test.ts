import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { VARIABLES } from "../src/variables.ts";

const read = (name: string) => readFile(new URL(`../${name}`, import.meta.url), "utf8");

test("docker-compose.yml hands on every variable that the program reads or the README names", async () => {
  const [compose, readme] = await Promise.all([read("docker-compose.yml"), read("README.md")]);
  const mirror = /^ {2}mirror:\n[\s\S]*?\n\n/m.exec(compose)?.[0] ?? "";
  const handedOn = [...mirror.matchAll(/^ {6}([A-Z_]+):/gm)].map(([, name]) => name);
  const named = [...readme.matchAll(/`((?:PG|NODE_|HTTPS_)[A-Z_]+)(?:=[^`]*)?`/g)].map(([, name]) => name ?? "");
  const refused = ["PGSERVICE"];
  const ofTheImage = ["NODE_OPTIONS"];
  const needed = new Set([...VARIABLES, ...named].filter((name) => ![...refused, ...ofTheImage].includes(name)));
  expect([...needed].filter((name) => !handedOn.includes(name))).toEqual([]);
});
