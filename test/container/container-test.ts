import { test as base, inject } from "vitest";

/** A test that is skipped, with the reason, where no container engine answers. */
export const test = base.extend<{ engine: { image: string; label: Record<string, string> } }>({
  engine: async ({ skip }, use) => {
    const engine = inject("engine");
    if ("missing" in engine) return skip(engine.missing);
    await use(engine);
  },
});
