import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { BenchApi } from "../api/api.ts";
import type { Bench } from "../bench.ts";
import { readProfile, type SelfTime } from "../tools/cpu-profile.ts";
import type { Figure, Section } from "../tools/figures.ts";
import { BenchMirror } from "../tools/mirror.ts";

const events = 100_000;
const bundle = fileURLToPath(new URL("../../dist/main.js", import.meta.url));
const folder = fileURLToPath(new URL("../../.data/profile", import.meta.url));

/** Where the program's own processor time goes in a catch-up without a limit; no target, a guide to what to do next. */
export async function profile(bench: Bench): Promise<Section> {
  await using api = await BenchApi.start({ count: events, days: 85, spread: "uniform" }, { latencyMs: 20 });
  await using database = await bench.postgres.createDatabase();
  const before = new Set(await readdir(folder).catch(() => []));
  await new BenchMirror("sync", {
    folder: bench.postgres.folder,
    env: { ...api.env, DATABASE_URL: database.url, RATE_LIMIT: "100000/1s" },
    nodeArgs: ["--cpu-prof", `--cpu-prof-dir=${folder}`],
  }).done();
  const name = (await readdir(folder)).find((file) => !before.has(file) && file.endsWith(".cpuprofile"));
  if (name === undefined) throw new Error("node wrote no profile");
  const { busyMs, functions, packages } = readProfile(join(folder, name), bundle);
  const shareOf = ({ name, ms }: SelfTime): Figure => ({ name, unit: "%", values: [(100 * ms) / busyMs] });
  return {
    title: `self time of sync over ${events} events, 20 ms, no limit, by package, then by function; .data/profile/${name}`,
    figures: [
      { name: "busy", unit: "µs per event", values: [(1_000 * busyMs) / events] },
      ...packages.slice(0, 15).map(shareOf),
      ...functions.slice(0, 25).map(shareOf),
    ],
  };
}
