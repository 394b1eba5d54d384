import { defineConfig, mergeConfig } from "vitest/config";
import base from "../../vitest.config.ts";

/** A run of its own: it installs WorkOS's emulator first, which is too large for a devDependency. */
export default mergeConfig(
  { ...base, test: { ...base.test, include: [], exclude: [] } },
  defineConfig({ test: { include: ["test/emulator/**/*.test.ts"], testTimeout: 120_000, hookTimeout: 300_000 } }),
);
