import { setTimeout as delay } from "node:timers/promises";
import { Violation } from "./violation.ts";

const LOOK_EVERY_MS = 100;
/** A machine may be as slow as it likes, but not stand still for so long: a mirror backs off for a minute at most. */
const STANDSTILL_MS = 90_000;

/** Waits until `measure` has reached `goal`, for as long as it grows. */
export async function reach(goal: number, measure: () => Promise<number>, what: string): Promise<void> {
  let most = 0;
  let grewAt = performance.now();
  for (;;) {
    const now = await measure();
    if (now >= goal) return;
    if (now > most) grewAt = performance.now();
    most = Math.max(most, now);
    if (performance.now() - grewAt > STANDSTILL_MS) {
      throw new Violation(`${what}: no more than ${most} of ${goal} for ${STANDSTILL_MS / 1000} s`);
    }
    await delay(LOOK_EVERY_MS);
  }
}
