import { readFileSync } from "node:fs";

/** Of a second, in /proc: Linux has had this value everywhere for decades. */
const ticksPerSecond = 100;

/** Processor time that the process has used, user and system. */
export function cpuSeconds(pid: number): number {
  return statOf(pid).own;
}

/** The same of all processes that this one has started and that have ended. */
export function cpuSecondsOfEndedChildren(): number {
  return statOf(process.pid).endedChildren;
}

/** Of a process, of its children, and of those that have ended. */
export function cpuSecondsOfTree(pid: number): number {
  const { own, endedChildren } = statOf(pid);
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean);
  return children.reduce((sum, child) => sum + cpuIfAlive(Number(child)), own + endedChildren);
}

/** Of everything on this machine. */
export function cpuSecondsOfMachine(): number {
  const all = readFileSync("/proc/stat", "utf8").split("\n", 1).join().split(/\s+/).map(Number);
  const [, user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = all;
  return (user + nice + system + irq + softirq) / ticksPerSecond;
}

function cpuIfAlive(pid: number): number {
  try {
    return cpuSeconds(pid);
  } catch {
    return 0; // it has just ended
  }
}

function statOf(pid: number): { parent: number; own: number; endedChildren: number } {
  const afterName = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ").map(Number) ?? [];
  const [, parent = 0] = afterName;
  const [user = 0, system = 0, childrenUser = 0, childrenSystem = 0] = afterName.slice(11, 15);
  return {
    parent,
    own: (user + system) / ticksPerSecond,
    endedChildren: (childrenUser + childrenSystem) / ticksPerSecond,
  };
}

export function residentMB(pid: number): number {
  return statusOf(pid, "VmRSS");
}

/** The most that it ever was. */
export function peakMB(pid: number): number {
  return statusOf(pid, "VmHWM");
}

function statusOf(pid: number, field: string): number {
  const found = new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return (Number(found?.[1]) * 1024) / 1e6;
}
