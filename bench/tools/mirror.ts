import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const program = fileURLToPath(new URL("../../dist/main.js", import.meta.url));

let started = 0;

export interface MirrorOptions {
  /** Where its log is kept: it is shown when the program fails. */
  folder: string;
  env: Record<string, string>;
  /** For node itself. */
  nodeArgs?: readonly string[];
}

/** The program as it is built, with nothing of this process's environment but PATH. */
export class BenchMirror implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly startedAt = performance.now();
  readonly #log: string;
  readonly #exited: Promise<number | null>;

  constructor(verb: string, { folder, env, nodeArgs = [] }: MirrorOptions) {
    started += 1;
    this.#log = join(folder, `mirror-${started}.log`);
    const log = openSync(this.#log, "w");
    this.child = spawn(process.execPath, [...nodeArgs, program, verb], {
      env: { PATH: process.env.PATH ?? "", HTTP_PORT: "off", LOG_FORMAT: "json", ...env },
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    const end = () => this.child.kill("SIGKILL");
    process.once("exit", end);
    this.child.once("exit", () => process.off("exit", end));
    this.#exited = once(this.child, "exit").then(([code]) => code);
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** Waits for its end, which must be a good one. Answers how many seconds it ran. */
  async done(): Promise<number> {
    const code = await this.#exited;
    if (code !== 0) throw new Error(`the mirror ended with exit code ${code}; its log ends with\n${this.endOfLog()}`);
    return (performance.now() - this.startedAt) / 1000;
  }

  endOfLog(): string {
    return readFileSync(this.#log, "utf8").split("\n").slice(-10).join("\n");
  }

  async stop(): Promise<void> {
    if (!this.hasEnded) this.child.kill("SIGTERM");
    await this.#exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.hasEnded) this.child.kill("SIGKILL");
    await this.#exited;
  }
}

/** Creates the program's own tables in an empty database. */
export async function migrate(folder: string, url: string): Promise<void> {
  await new BenchMirror("migrate", { folder, env: { DATABASE_URL: url } }).done();
}
