import { parseArgs } from "node:util";
import { type SimulatedApi, startSimulatedApi } from "./simulated-api.ts";
import { EventGenerator } from "./simulated-events.ts";
import { SeededRandom } from "./simulated-random.ts";

const usage = `A simulated WorkOS Events API, with some weeks of history and new events all the time.

node test/support/simulated-api-main.ts [--port 4100] [--host 127.0.0.1] [--days 21] [--events 20000]
                                        [--per-second 2] [--seed 1] [--key sk_test_simulated]`;

const tickMs = 500;
const dayMs = 86_400_000;
/** The record of requests is for tests; here it would only grow. */
const rememberedRequests = 1_000;

interface Settings {
  host: string;
  port: number;
  days: number;
  events: number;
  perSecond: number;
  seed: number;
  key: string;
}

function readSettings(): Settings {
  const { values } = parseArgs({
    options: {
      host: { type: "string", default: "127.0.0.1" },
      port: { type: "string", default: "4100" },
      days: { type: "string", default: "21" },
      events: { type: "string", default: "20000" },
      "per-second": { type: "string", default: "2" },
      seed: { type: "string", default: "1" },
      key: { type: "string", default: "sk_test_simulated" },
    },
  });
  return {
    host: values.host,
    port: readNumber("port", values.port, 65_535),
    days: readNumber("days", values.days, 365),
    events: readNumber("events", values.events, 5_000_000),
    perSecond: readNumber("per-second", values["per-second"], 10_000),
    seed: readNumber("seed", values.seed, 2 ** 31),
    key: values.key,
  };
}

function readNumber(name: string, text: string, most: number): number {
  const value = Number(text);
  if (text.trim() !== "" && value >= 0 && value <= most) return value;
  throw new Error(`--${name} must be a number from 0 to ${most}, not '${text}'.`);
}

async function start({ host, port, days, events, perSecond, seed, key }: Settings): Promise<SimulatedApi> {
  const generator = new EventGenerator(seed);
  const to = Date.now();
  const history = generator.history({ count: events, from: to - days * dayMs, to });
  const api = await startSimulatedApi({ host, port, apiKey: key, events: history, generator });
  const random = new SeededRandom(seed);
  const mean = (perSecond * tickMs) / 1000;
  api.emitEvery(tickMs, () => {
    if (api.requests.length > rememberedRequests) api.requests.splice(0, api.requests.length - rememberedRequests);
    return Math.floor(random.fraction() * 2 * mean + random.fraction());
  });
  return api;
}

function fail(message: string, exitCode: number): never {
  console.error(message);
  process.exit(exitCode);
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function settingsOrUsage(): Settings {
  try {
    return readSettings();
  } catch (error) {
    return fail(`${reason(error)}\n\n${usage}`, 2);
  }
}

const settings = settingsOrUsage();
const api = await start(settings).catch((error: unknown) => fail(`The simulated API can't start: ${reason(error)}`, 1));
console.log(`Simulated WorkOS API on ${api.url} with ${api.events.length} events; its key is ${api.apiKey}`);
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void api.close());
