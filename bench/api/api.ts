import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { History } from "./history.ts";
import type { Command, Settings, Told } from "./server.ts";

const program = fileURLToPath(new URL("server.ts", import.meta.url));
const key = "sk_test_bench";

/** The bench's API server, in a process of its own. */
export class BenchApi implements AsyncDisposable {
  readonly key = key;
  readonly url: string;
  readonly #child: ChildProcess;

  static async start(history: History, settings: Partial<Settings> = {}): Promise<BenchApi> {
    const child = fork(program, [JSON.stringify({ ...history, key })], { execArgv: ["--max-old-space-size=8192"] });
    const { port } = await messageOf<{ port: number }>(child);
    const api = new BenchApi(child, `http://127.0.0.1:${port}`);
    await api.set(settings);
    return api;
  }

  constructor(child: ChildProcess, url: string) {
    this.#child = child;
    this.url = url;
  }

  /** What a program needs to ask it. */
  get env(): Record<string, string> {
    return { WORKOS_API_KEY: key, WORKOS_BASE_URL: this.url };
  }

  async set(settings: Partial<Settings>): Promise<void> {
    await this.#ask({ name: "set", settings });
  }

  /** Forgets the requests that were counted. */
  async reset(): Promise<void> {
    await this.#ask({ name: "reset" });
  }

  async tell(window = { requests: 100, perMs: 10_000 }): Promise<Told> {
    return this.#ask<Told>({ name: "tell", window });
  }

  /** How many events were created in this time, end exclusive. */
  async countCreated(sinceMs: number, untilMs: number): Promise<number> {
    return this.#ask<number>({ name: "count created", sinceMs, untilMs });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const exited = once(this.#child, "exit");
    this.#child.disconnect();
    await exited;
  }

  async #ask<Answer>(command: Command): Promise<Answer> {
    this.#child.send(command);
    return (await messageOf<{ answer: Answer }>(this.#child)).answer;
  }
}

/** The next message, if the process lives so long. */
async function messageOf<Message>(child: ChildProcess): Promise<Message> {
  const done = new AbortController();
  const { signal } = done;
  const ended = once(child, "exit", { signal }).then(() => {
    throw new Error("the bench's API server has ended");
  });
  try {
    return await Promise.race([once(child, "message", { signal }).then(([message]): Message => message), ended]);
  } finally {
    ended.catch(() => undefined);
    done.abort();
  }
}
