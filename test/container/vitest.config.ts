import { defineConfig, mergeConfig } from "vitest/config";
import base from "../../vitest.config.ts";

/** A run of its own: it builds the image, and needs a container engine. */
export default mergeConfig(
  { ...base, test: { ...base.test, include: [], exclude: [], globalSetup: [] } },
  defineConfig({
    test: {
      include: ["test/container/**/*.test.ts"],
      globalSetup: "test/container/setup.ts",
      testTimeout: 240_000,
      hookTimeout: 300_000,
    },
  }),
);
