import { setTimeout as delay } from "node:timers/promises";
import { BenchApi } from "../api/api.ts";
import type { Bench } from "../bench.ts";
import type { Section } from "../tools/figures.ts";
import { BenchMirror } from "../tools/mirror.ts";

export async function start(bench: Bench): Promise<Section> {
  const rounds = bench.rounds ?? 10;
  await using api = await BenchApi.start({ count: 100, days: 21, spread: "uniform" });
  await using database = await bench.postgres.createDatabase();
  const options = { folder: bench.postgres.folder, env: { ...api.env, DATABASE_URL: database.url } };
  await new BenchMirror("sync", options).done();
  const times: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    await api.reset();
    const startedMs = performance.timeOrigin + performance.now();
    await using mirror = new BenchMirror("run", options);
    times.push((await firstArrival(api)) - startedMs);
    await mirror.stop();
  }
  return {
    title: `from the start of the process to its first request, migrations applied before, ${rounds} rounds`,
    figures: [{ name: "start", unit: "ms", values: times, target: { atMost: 400 } }],
  };
}

async function firstArrival(api: BenchApi): Promise<number> {
  for (;;) {
    const { firstArrivalMs } = await api.tell();
    if (firstArrivalMs !== null) return firstArrivalMs;
    await delay(50); // asking without end would take a processor away from what is measured
  }
}
