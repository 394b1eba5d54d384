import { readFileSync } from "node:fs";

/** Of a second, in /proc: Linux has had this value everywhere for decades. */
const ticksPerSecond = 100;

/** Processor time that the process has used, user and system. */
export function cpuSeconds(pid: number): number {
  const afterName = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
  return (Number(afterName[11]) + Number(afterName[12])) / ticksPerSecond;
}

export function residentMiB(pid: number): number {
  return statusOf(pid, "VmRSS");
}

/** The most that it ever was. */
export function peakMiB(pid: number): number {
  return statusOf(pid, "VmHWM");
}

function statusOf(pid: number, field: string): number {
  const found = new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(found?.[1]) / 1024;
}
