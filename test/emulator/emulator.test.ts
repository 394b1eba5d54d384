import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { beforeAll, expect, test } from "vitest";
import { freePort } from "../support/free-port.ts";
import { MirrorProcess } from "../support/mirror-process.ts";
import { createTestDatabase } from "../support/test-database.ts";
import { until } from "../support/wait.ts";

const VERSION = "0.14.0";
const KEY = "sk_test_default";
const folder = fileURLToPath(new URL(`../../.data/emulator-${VERSION}/`, import.meta.url));
const command = `${folder}node_modules/workos/dist/bin.js`;

beforeAll(async () => {
  if (existsSync(command)) return;
  await mkdir(folder, { recursive: true });
  await promisify(execFile)("npm", ["install", "--prefix", folder, "--ignore-scripts", `workos@${VERSION}`]);
});

test("mirrors what WorkOS's own emulator emits, and goes on when it was restarted and has forgotten everything", async () => {
  await using database = await createTestDatabase();
  const port = await freePort();
  const stored = async () => (await database.pool.query("select id, event, data from workos.events order by seq")).rows;
  const seen: EmulatedEvent[] = [];

  let emulator = await startEmulator(port);
  await change(port, "/organizations", { name: "First" });
  await using mirror = new MirrorProcess(["run"], {
    WORKOS_API_KEY: KEY,
    WORKOS_BASE_URL: `http://127.0.0.1:${port}`,
    DATABASE_URL: database.url,
    POLL_INTERVAL: "200ms",
  });
  await mirror.says("caught up");
  await change(port, "/user_management/users", { email: "someone@example.com" });
  await change(port, "/organizations", { name: "Second" });
  seen.push(...(await listEvents(port)));
  await until(async () => ((await stored()).length >= seen.length ? true : undefined), "the first events");

  await stop(emulator);
  emulator = await startEmulator(port);
  await change(port, "/organizations", { name: "Third" });
  seen.push(...(await listEvents(port)));
  await until(async () => ((await stored()).length >= seen.length ? true : undefined), "the events after the restart");
  await stop(emulator);

  expect(await stored()).toEqual(seen.map(({ id, event, data }) => ({ id, event, data })));
  expect(seen.map(({ event }) => event)).toEqual(expect.arrayContaining(["organization.created", "user.created"]));
  expect(await mirror.stop()).toEqual({ code: 0, signal: null });
});

test("check finds nothing to complain about", async () => {
  await using database = await createTestDatabase();
  const port = await freePort();
  const emulator = await startEmulator(port);
  for (const name of ["First", "Second", "Third"]) await change(port, "/organizations", { name });
  const env = { WORKOS_API_KEY: KEY, WORKOS_BASE_URL: `http://127.0.0.1:${port}`, DATABASE_URL: database.url };
  await new MirrorProcess(["sync"], env).exit;
  const check = new MirrorProcess(["check"], env);
  expect(await check.exit).toEqual({ code: 0, signal: null });
  expect(check.stdout).toContain("the second page goes on where the first ends");
  await stop(emulator);
});

interface EmulatedEvent {
  id: string;
  event: string;
  data: Record<string, unknown>;
}

async function startEmulator(port: number): Promise<ChildProcess> {
  const child = spawn(process.execPath, [command, "emulate", "--port", String(port), "--json"], {
    env: { PATH: process.env.PATH ?? "", WORKOS_TELEMETRY: "false", WORKOS_NO_PROMPT: "1" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (child.stdout === null) throw new Error("the emulator has no standard output");
  await once(createInterface({ input: child.stdout }), "line");
  return child;
}

async function stop(child: ChildProcess): Promise<void> {
  const exit = once(child, "close");
  child.kill("SIGTERM");
  await exit;
}

async function change(port: number, path: string, body: Record<string, unknown>): Promise<void> {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  expect(answer.status).toBe(201);
}

async function listEvents(port: number): Promise<EmulatedEvent[]> {
  const answer = await fetch(`http://127.0.0.1:${port}/events?order=asc&limit=100`, {
    headers: { authorization: `Bearer ${KEY}` },
  });
  const list: { data: EmulatedEvent[] } = JSON.parse(await answer.text());
  return list.data;
}
