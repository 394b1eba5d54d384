import { defineConfig } from "vitest/config";

/** A run of its own: it starts, kills and restarts servers of its own, and takes minutes. */
export default defineConfig({
  test: {
    include: ["test/chaos/**/*.test.ts"],
    pool: "forks",
    maxConcurrency: Number(process.env.CHAOS_WORLDS ?? 3),
    testTimeout: 900_000,
    hookTimeout: 60_000,
    reporters: ["default"],
  },
});
