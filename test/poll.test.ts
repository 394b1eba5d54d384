import { expect, test } from "vitest";
import { poll } from "../src/poll.ts";

test("tells of a step that was done, though the signal to stop came meanwhile", async () => {
  const stop = new AbortController();
  const told: unknown[] = [];
  const step = async () => {
    stop.abort(new Error("SIGTERM"));
    return { rest: false };
  };
  const options = { step, intervalMs: 0, once: false, signal: stop.signal, onFailure: () => undefined };
  await poll({ ...options, onStep: (done) => told.push(done) }).catch(() => undefined);
  expect(told).toEqual([{ rest: false }]);
});
