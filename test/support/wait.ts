import { setTimeout as delay } from "node:timers/promises";

/** Looks again and again until there is something: for what can't tell of itself, such as a row in a table. */
export async function until<T>(look: () => Promise<T | undefined>, what: string, withinMs = 20_000): Promise<T> {
  const end = performance.now() + withinMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > end) throw new Error(`waited ${withinMs} ms in vain for ${what}`);
    await delay(20);
  }
}
