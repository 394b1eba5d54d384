import { execFile } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { expect, onTestFinished, test, vi } from "vitest";
import { createLimiter, type Limiter, type RateLimit } from "../../src/workos/rate-limit.ts";
import { faults, type SimulatedApi, startSimulatedApi } from "../support/simulated-api.ts";

const LIMIT = { requests: 20, perMs: 1000 };
const NEVER = new AbortController().signal;

/** Answers after a time that differs from request to request. */
async function startJitteryApi(mostMs: number): Promise<SimulatedApi> {
  const api = await startSimulatedApi();
  Object.defineProperty(api.options, "latencyMs", { get: () => Math.random() * mostMs });
  return api;
}

/** A request whose answer is read to its end; resolves with its status. */
function ask(limiter: Limiter, api: Pick<SimulatedApi, "url" | "apiKey">, signal = NEVER): Promise<number> {
  const headers = { authorization: `Bearer ${api.apiKey}` };
  return limiter(
    async () => {
      const response = await fetch(`${api.url}/events`, { headers, signal });
      await response.arrayBuffer();
      return response.status;
    },
    { signal },
  );
}

async function askInTurn(count: number, limiter: Limiter, api: Pick<SimulatedApi, "url" | "apiKey">): Promise<void> {
  for (let asked = 0; asked < count; asked += 1) await ask(limiter, api);
}

/** What a server sees of five callers that ask as fast as they may, for two full windows and a bit. */
async function askAsFastAsAllowed(limit: RateLimit) {
  await using api = await startJitteryApi(30);
  const limiter = createLimiter(limit);
  await Promise.all(Array.from({ length: 5 }, () => askInTurn((2 * limit.requests) / 5 + 1, limiter, api)));
  const tookMs = (api.requests.at(-1)?.at ?? 0) - (api.requests[0]?.at ?? 0);
  return { most: api.maxInWindow(limit.perMs), tookMs };
}

test.concurrent("never shows the server more than the limit in any window", async () => {
  expect((await askAsFastAsAllowed(LIMIT)).most).toBeLessThanOrEqual(LIMIT.requests);
});

test.concurrent("uses at least 95 % of the limit", { retry: 2 }, async () => {
  const { tookMs } = await askAsFastAsAllowed({ requests: 20, perMs: 3000 });
  expect(tookMs * 0.95).toBeLessThan(2 * 3000);
});

test.concurrent("lets a burst through at once up to the limit, and what follows a window later", async () => {
  await using api = await startSimulatedApi();
  const { requests, perMs } = { requests: 20, perMs: 3000 };
  const limiter = createLimiter({ requests, perMs });
  await Promise.all(Array.from({ length: requests + 1 }, () => ask(limiter, api)));
  const at = api.requests.map((request) => request.at - (api.requests[0]?.at ?? 0));
  expect(at[requests - 1]).toBeLessThan(0.8 * perMs);
  expect(at[requests]).toBeGreaterThanOrEqual(perMs);
});

test("sends at once what need not wait", async () => {
  const limiter = createLimiter({ requests: 2, perMs: 3_600_000 });
  vi.useFakeTimers({ toFake: ["setTimeout"] });
  onTestFinished(() => void vi.useRealTimers());
  const send = async (what: string) => what;
  expect(await limiter(() => send("in front"), { signal: NEVER })).toBe("in front");
  expect(await limiter(() => send("behind"), { signal: NEVER, background: { leave: 0 } })).toBe("behind");
});

test.concurrent("counts requests that failed, were hung up on, or were given up: the server saw them too", async () => {
  await using api = await startJitteryApi(30);
  const limiter = createLimiter(LIMIT);
  api.fail(faults.serverError(503), { times: 10 });
  api.fail(faults.tooManyRequests(), { times: 10 });
  api.fail(faults.reset(), { times: 10 });
  api.fail(faults.hang(), { times: 10 });
  for (let asked = 0; asked < 60; asked += 1) {
    await ask(limiter, api, AbortSignal.any([NEVER, AbortSignal.timeout(asked < 30 ? 5_000 : 50)])).catch(() => {});
  }
  expect(api.pendingFaults).toBe(0);
  expect(api.maxInWindow(LIMIT.perMs)).toBeLessThanOrEqual(LIMIT.requests);
});

test.concurrent("gives the first places back in time, too, however long answers take", { retry: 2 }, async () => {
  const latencyMs = 600;
  await using api = await startSimulatedApi({ latencyMs });
  const { requests, perMs } = { requests: 60, perMs: 2000 };
  const limiter = createLimiter({ requests, perMs });
  await Promise.all(Array.from({ length: 2 * requests }, () => ask(limiter, api)));
  const lastAfterMs = (api.requests.at(-1)?.at ?? 0) - (api.requests[0]?.at ?? 0);
  expect(lastAfterMs).toBeLessThan(perMs + latencyMs / 2);
  expect(api.maxInWindow(perMs)).toBe(requests);
});

test.concurrent("keeps the limit when an API that answered at once becomes slow", async () => {
  await using api = await startSimulatedApi();
  const { requests, perMs } = { requests: 200, perMs: 3000 };
  const limiter = createLimiter({ requests, perMs });
  await Promise.all(Array.from({ length: 50 }, () => ask(limiter, api)));
  api.options.latencyMs = 600;
  await Promise.all(Array.from({ length: requests }, () => ask(limiter, api)));
  expect(api.maxInWindow(perMs)).toBeLessThanOrEqual(requests);
});

test.concurrent("wakes a request that waits only because more is left to others than before", async () => {
  const perMs = 300;
  const limiter = createLimiter({ requests: 20, perMs });
  const send = (leave: number) => limiter(async () => performance.now(), { signal: NEVER, background: { leave } });
  const first = await send(0);
  await Promise.all(Array.from({ length: 15 }, () => send(0)));
  expect((await send(5)) - first).toBeGreaterThanOrEqual(perMs);
});

/** A way to the API on which the first request is held up. */
async function startSlowWay(api: SimulatedApi, firstMs: number) {
  let holdMs = firstMs;
  const server = createServer(async (near) => {
    const far = connect(Number(new URL(api.url).port));
    for (const socket of [near, far]) socket.on("error", () => socket.destroy());
    const held = holdMs;
    holdMs = 0;
    await delay(held);
    near.pipe(far).pipe(near);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, apiKey: api.apiKey, [Symbol.dispose]: () => void server.close() };
}

test.concurrent("keeps the limit when a request is held up on its way to the server", async () => {
  await using api = await startSimulatedApi();
  using way = await startSlowWay(api, 700);
  const limit = { requests: 5, perMs: 1000 };
  await askInTurn(12, createLimiter(limit), way);
  expect(api.maxInWindow(limit.perMs)).toBeLessThanOrEqual(limit.requests);
});

test.concurrent("keeps the limit when a request that was given up still reaches the server", async () => {
  await using api = await startSimulatedApi();
  using way = await startSlowWay(api, 400);
  const limit = { requests: 5, perMs: 1000 };
  const limiter = createLimiter(limit);
  await expect(ask(limiter, way, AbortSignal.timeout(100))).rejects.toThrow("timeout");
  await askInTurn(12, limiter, way);
  expect(api.requests.length).toBe(13);
  expect(api.maxInWindow(limit.perMs)).toBeLessThanOrEqual(limit.requests);
});

test.concurrent("ends a request that waits for its place at once when told to stop, and wastes no place on it", async () => {
  await using api = await startSimulatedApi();
  const limiter = createLimiter({ requests: 2, perMs: 1000 });
  await Promise.all([ask(limiter, api), ask(limiter, api)]);
  const [stop, reason] = [new AbortController(), new Error("SIGTERM")];
  const waiting = Array.from({ length: 10 }, () => ask(limiter, api, stop.signal));
  const began = performance.now();
  stop.abort(reason);
  expect(await Promise.allSettled(waiting)).toEqual(waiting.map(() => ({ status: "rejected", reason })));
  expect(performance.now() - began).toBeLessThan(500);
  await Promise.all([ask(limiter, api), ask(limiter, api)]);
  expect([api.requests.length, api.maxInWindow(1000)]).toEqual([4, 2]);
});

test.concurrent("sends nothing when told to stop before, and does not wait for a place to say so", async () => {
  const limiter = createLimiter({ requests: 1, perMs: 3_600_000 });
  const reason = new Error("SIGTERM");
  const sent: string[] = [];
  const send = (what: string, signal: AbortSignal) => limiter(async () => sent.push(what), { signal });
  await expect(send("with a place", AbortSignal.abort(reason))).rejects.toBe(reason);
  await send("the only one", NEVER);
  await expect(send("without a place", AbortSignal.abort(reason))).rejects.toBe(reason);
  expect(sent).toEqual(["the only one"]);
});

test.concurrent("keeps the program alive while a request waits for its place, and not a moment longer", async () => {
  const program = `
    const { createLimiter } = await import(process.argv[1]);
    const limiter = createLimiter({ requests: 1, perMs: 1000 });
    for (const turn of ["first", "second"]) await limiter(async () => console.log(turn), { signal: new AbortController().signal });
    const done = performance.now();
    process.on("exit", () => console.log(performance.now() - done < 500));`;
  const url = new URL("../../src/workos/rate-limit.ts", import.meta.url).href;
  const args = ["--input-type=module", "--eval", program, "--", url];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 15_000 });
  expect(stdout).toBe("first\nsecond\ntrue\n");
});
