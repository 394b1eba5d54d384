import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("../../dist/main.js", import.meta.url));

/** A line of the log. */
export interface LogLine {
  level: string;
  msg: string;
  [field: string]: unknown;
}

export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** What may stand in no output. A short password could be any word, but not where a URL has it. */
function secretsOf({ WORKOS_API_KEY, DATABASE_URL = "" }: Record<string, string>): string[] {
  const { password } = URL.canParse(DATABASE_URL) ? new URL(DATABASE_URL) : { password: "" };
  const secrets = [WORKOS_API_KEY ?? "", password.length < 8 ? `:${password}@` : decodeURIComponent(password)];
  return secrets.filter((secret) => secret.length > 2);
}

/**
 * The program as its users start it: a process of its own, with nothing of this one's environment but PATH. Whatever a
 * test does with it, a secret in its output is an error.
 */
export class MirrorProcess implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly exit: Promise<Exit>;
  stdout = "";
  stderr = "";
  readonly log: LogLine[] = [];
  readonly #waiting = new Set<() => void>();

  constructor(args: readonly string[], env: Record<string, string>) {
    this.child = spawn(process.execPath, [main, ...args], {
      env: { PATH: process.env.PATH ?? "", HTTP_PORT: "off", LOG_FORMAT: "json", ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.exit = once(this.child, "close").then(([code, signal]) => {
      const told = secretsOf(env).filter((secret) => (this.stdout + this.stderr).includes(secret));
      if (told.length > 0) throw new Error(`the program wrote a secret:\n${this.stdout}${this.stderr}`);
      return { code, signal };
    });
    this.child.stderr?.on("data", (chunk) => {
      this.stderr += chunk;
    });
    if (this.child.stdout === null) throw new Error("the child has no standard output");
    createInterface({ input: this.child.stdout }).on("line", (line) => this.#take(line));
    this.exit.catch(() => undefined).finally(() => this.#wake());
  }

  /** The first line, already there or still to come, that matches. Rejects when the process ends without it. */
  async line(matches: (line: LogLine) => boolean): Promise<LogLine> {
    for (;;) {
      const found = this.log.find(matches);
      if (found !== undefined) return found;
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        throw new Error(`the process ended without that line; it wrote:\n${this.stdout}${this.stderr}`);
      }
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  /** The first line whose message begins so. */
  says(beginning: string): Promise<LogLine> {
    return this.line(({ msg }) => msg.startsWith(beginning));
  }

  /** Where the HTTP endpoints are, for a process with HTTP_PORT=0. */
  async http(): Promise<string> {
    const { port } = await this.says("serving /livez");
    return `http://127.0.0.1:${port}`;
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<Exit> {
    this.child.kill(signal);
    return this.exit;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop("SIGKILL");
  }

  #take(line: string): void {
    this.stdout += `${line}\n`;
    if (line.startsWith('{"')) this.log.push(JSON.parse(line));
    this.#wake();
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}
