import { spawnSync } from "node:child_process";
import { cpus, loadavg, release, totalmem, type } from "node:os";

export interface Machine {
  cpu: string;
  cores: number;
  memoryGiB: number;
  system: string;
  node: string;
  postgres: string;
  /** Of the program that was measured. */
  commit: string;
  loadAverage: number;
  at: string;
}

export function describeMachine(postgres: string): Machine {
  const git = spawnSync("git", ["describe", "--always", "--dirty"], { encoding: "utf8", cwd: import.meta.dirname });
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release()}`,
    node: process.version,
    postgres,
    commit: git.stdout?.trim() || "unknown",
    loadAverage: Math.round((loadavg()[0] ?? 0) * 10) / 10,
    at: new Date().toISOString(),
  };
}

export function sentenceOf({ cpu, cores, memoryGiB, system, node, postgres, commit, loadAverage }: Machine): string {
  return (
    `${cores} cores of ${cpu}, ${memoryGiB} GiB, ${system}, Node ${node}, PostgreSQL ${postgres}, commit ${commit}; ` +
    `API, mirror, database and this program share the machine, whose load was ${loadAverage} before`
  );
}
