import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type Failure, type RetryOptions, withRetry } from "../src/retry.ts";
import { Trouble, type TroubleKind } from "../src/trouble.ts";

/** vitest's clock does not reach this module by itself. With real timers it is the real one. */
vi.mock("node:timers/promises", async (importActual) => {
  const actual = await importActual<typeof import("node:timers/promises")>();
  const fake = (ms: number, value: unknown) => new Promise((resolve) => globalThis.setTimeout(resolve, ms, value));
  const setTimeout = (...args: Parameters<typeof actual.setTimeout>) =>
    vi.isFakeTimers() ? fake(args[0] ?? 0, args[1]) : actual.setTimeout(...args);
  return { ...actual, setTimeout };
});

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const trouble = (kind: TroubleKind, retryAfterMs = 0) => new Trouble(kind, { kind, code: "test", retryAfterMs });
const passing = trouble("passing");

interface Run {
  /** When each attempt began, in ms since the first. */
  attempts: number[];
  failures: Failure[];
  outcome: Promise<unknown>;
}

/** Work that fails with each of these errors in turn, then succeeds. */
function run(errors: readonly unknown[], options: Partial<RetryOptions> = {}): Run {
  const began = Date.now();
  const attempts: number[] = [];
  const failures: Failure[] = [];
  const work = async () => {
    const attempt = attempts.push(Date.now() - began);
    if (attempt <= errors.length) throw errors[attempt - 1];
    return "done";
  };
  const signal = new AbortController().signal;
  const onFailure = (failure: Failure) => void failures.push(failure);
  const outcome = withRetry(work, { signal, refused: "throw", onFailure, ...options });
  outcome.catch(() => {});
  return { attempts, failures, outcome };
}

/** The waits between the attempts, in seconds, when chance is always this. */
async function waitsWithChance(chance: number, errors: readonly Trouble[]): Promise<number[]> {
  vi.spyOn(Math, "random").mockReturnValue(chance);
  const { attempts, outcome } = run(errors, { refused: "ask again" });
  await vi.runAllTimersAsync();
  expect(await outcome).toBe("done");
  return attempts.slice(1).map((at, index) => (at - (attempts[index] ?? 0)) / 1000);
}

test("succeeds at once when nothing is wrong", async () => {
  const { attempts, failures, outcome } = run([]);
  expect([await outcome, attempts, failures]).toEqual(["done", [0], []]);
});

test("waits between 1 s and a ceiling that doubles up to 60 s, wherever chance lands", async () => {
  const errors = Array<Trouble>(9).fill(passing);
  expect(await waitsWithChance(0, errors)).toEqual([1, 1, 1, 1, 1, 1, 1, 1, 1]);
  expect(await waitsWithChance(1, errors)).toEqual([2, 4, 8, 16, 32, 60, 60, 60, 60]);
  expect(await waitsWithChance(0.5, errors)).toEqual([1.5, 2.5, 4.5, 8.5, 16.5, 30.5, 30.5, 30.5, 30.5]);
});

test("spreads the retries of many mirrors", async () => {
  const runs = Array.from({ length: 50 }, () => run(Array<Trouble>(6).fill(passing)));
  await vi.runAllTimersAsync();
  const lastWaits = runs.map(({ failures }) => failures[5]?.waitMs ?? 0);
  expect(Math.max(...lastWaits) - Math.min(...lastWaits)).toBeGreaterThan(20_000);
});

test("never asks before the API said, and backs off all the same when it said less", async () => {
  const errors = [trouble("passing", 7_000), trouble("passing", 500), trouble("passing", 3_600_000)];
  expect(await waitsWithChance(0, errors)).toEqual([7, 1, 3600]);
});

test("goes on for ever while trouble is passing, and tells each failure with the wait that follows", async () => {
  vi.spyOn(Math, "random").mockReturnValue(0);
  const errors = Array.from({ length: 2_000 }, () => passing);
  const { failures, outcome } = run(errors);
  await vi.runAllTimersAsync();
  expect(await outcome).toBe("done");
  expect(failures).toEqual(errors.map((_, index) => ({ trouble: passing, failures: index + 1, waitMs: 1000 })));
});

test("asks again once a minute after a refusal if it does not say otherwise, or throws it when told so", async () => {
  const refused = trouble("refused");
  expect(await waitsWithChance(0.9, [refused, refused, refused])).toEqual([60, 60, 60]);
  expect(await waitsWithChance(0.9, [trouble("refused", 5_000)])).toEqual([5]); // one that says when to look again

  const { attempts, failures, outcome } = run([refused]);
  await expect(outcome).rejects.toBe(refused);
  expect([attempts, failures]).toEqual([[0], []]);
});

test("throws what is fatal at once, however it was told to take refusals", async () => {
  const fatal = trouble("fatal");
  const { attempts, failures, outcome } = run([fatal], { refused: "ask again" });
  await expect(outcome).rejects.toBe(fatal);
  expect([attempts, failures]).toEqual([[0], []]);
});

test("retries a mistake of its own as loudly as any trouble", async () => {
  const bugs = [new TypeError("x is not a function"), new RangeError("too deep"), "a string"];
  const { failures, outcome } = run(bugs);
  await vi.runAllTimersAsync();
  expect(await outcome).toBe("done");
  const told = failures.map(({ trouble: { message, kind, code, cause } }) => ({ message, kind, code, cause }));
  expect(told).toEqual([
    { message: "unexpected: x is not a function", kind: "passing", code: "unexpected", cause: bugs[0] },
    { message: "unexpected: too deep", kind: "passing", code: "unexpected", cause: bugs[1] },
    { message: "unexpected: a string", kind: "passing", code: "unexpected", cause: bugs[2] },
  ]);
});

test("ends within milliseconds when told to stop during a wait, with the reason for it", async () => {
  vi.useRealTimers();
  const stop = new AbortController();
  const reason = new Error("SIGTERM");
  const waiting = Promise.withResolvers<void>();
  const hourLong = trouble("passing", 3_600_000);
  const { attempts, outcome } = run([hourLong], { signal: stop.signal, onFailure: () => waiting.resolve() });
  await waiting.promise;
  const stopped = performance.now();
  stop.abort(reason);
  await expect(outcome).rejects.toBe(reason);
  expect(performance.now() - stopped).toBeLessThan(500);
  expect(attempts).toHaveLength(1);
});

test("does not begin when it was told to stop before, and does not retry what the stop ended", async () => {
  const reason = new Error("SIGTERM");
  const before = run([], { signal: AbortSignal.abort(reason) });
  await expect(before.outcome).rejects.toBe(reason);

  const stop = new AbortController();
  const work = () => {
    stop.abort(reason);
    return Promise.reject(passing);
  };
  const failures: Failure[] = [];
  const during = withRetry(work, { signal: stop.signal, refused: "ask again", onFailure: (f) => failures.push(f) });
  await expect(during).rejects.toBe(passing);
  expect([before.attempts, failures]).toEqual([[], []]);
});
