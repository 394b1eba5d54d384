import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/**
 * Collects the garbage and gives its memory back to the system. V8 does so by itself, but only after minutes of rest:
 * until then, a mirror that has caught up would keep what it took to start and to read. Stops the program for some 50 ms.
 */
export async function giveBackMemory(): Promise<void> {
  setFlagsFromString("--expose-gc"); // for contexts that are made from now on
  const collect: NodeJS.GCFunction = runInNewContext("gc");
  await collect({ type: "major", execution: "async", flavor: "last-resort" });
}
