import { setTimeout as delay } from "node:timers/promises";
import { type Exit, MirrorProcess } from "../support/mirror-process.ts";

/** Longer than the program promises to take, on a machine that is busy with a dozen others. */
const STOPS_WITHIN_MS = 15_000;

export interface ReplicaOptions {
  env: Record<string, string>;
  /** What may be in no line of any output. */
  secrets: readonly string[];
  /** Told whatever may never happen. */
  onViolation: (what: string) => void;
}

/** One place where the program runs: killed, stopped or frozen, it is started again. */
export class Replica {
  readonly name: string;
  readonly #options: ReplicaOptions;
  #process: MirrorProcess;
  #isEnding = false;

  constructor(name: string, options: ReplicaOptions) {
    this.name = name;
    this.#options = options;
    this.#process = this.#start(["run"]);
  }

  /** The last lines of the process that runs now. */
  get tail(): string {
    const { stdout, stderr } = this.#process;
    return `${stdout.split("\n").slice(-15).join("\n")}${stderr.slice(-2000)}`;
  }

  /** As far as its log tells: another one holds the lock. */
  get isStandingBy(): boolean {
    const state = this.#process.log.findLast(({ msg }) => /^(standing by|caught up|catching up|stored)/.test(msg));
    return state?.msg.startsWith("standing by") ?? false;
  }

  /** Another process with the same environment, such as `backfill`, which is to end by itself or be killed. */
  async runBeside(args: readonly string[], killAfterMs: number): Promise<void> {
    const beside = this.#start(args);
    await Promise.race([beside.exit, delay(killAfterMs)]);
    this.#inspect(args.join(" "), beside, await beside.stop("SIGKILL"));
  }

  async kill(): Promise<void> {
    const exit = await this.#end("SIGKILL");
    if (exit.signal !== "SIGKILL") this.#violation(`ended by itself: ${JSON.stringify(exit)}`);
  }

  /** Asks it to stop, and expects it to, in time and with exit code 0. */
  async stop(): Promise<void> {
    const wasReady = this.#process.log.length > 0; // before its first line it has no ear for signals yet
    const exit = await this.#end("SIGTERM");
    const isGood = exit.code === 0 || (!wasReady && exit.signal === "SIGTERM");
    if (!isGood) this.#violation(`did not end with 0 on SIGTERM: ${JSON.stringify(exit)}`);
  }

  /** Asks it to stop, and loses patience. */
  async stopThenKill(afterMs: number): Promise<void> {
    this.#isEnding = true;
    this.#process.child.kill("SIGTERM");
    await Promise.race([this.#process.exit, delay(afterMs)]);
    await this.#end("SIGKILL");
  }

  start(): void {
    this.#isEnding = false;
    this.#process = this.#start(["run"]);
  }

  freeze(): void {
    this.#process.child.kill("SIGSTOP");
  }

  thaw(): void {
    this.#process.child.kill("SIGCONT");
  }

  /** What it answers on its HTTP endpoints. */
  async look(): Promise<Record<string, string>> {
    const address = await this.#process.http();
    const answers: Record<string, string> = {};
    for (const path of ["/livez", "/readyz", "/status", "/metrics"]) {
      const answer = await fetch(`${address}${path}`);
      answers[path] = `${answer.status} ${await answer.text()}`;
      this.#searchSecrets(`GET ${path}`, answers[path]);
    }
    return answers;
  }

  #start(args: readonly string[]): MirrorProcess {
    const process = new MirrorProcess(args, { HTTP_HOST: "127.0.0.1", HTTP_PORT: "0", ...this.#options.env });
    if (args[0] !== "run") return process;
    void process.exit.then((exit) => {
      if (!this.#isEnding) this.#violation(`ended by itself: ${JSON.stringify(exit)}`);
    });
    return process;
  }

  async #end(signal: NodeJS.Signals): Promise<Exit> {
    this.#isEnding = true;
    const ending = this.#process;
    const late = setTimeout(() => {
      this.#violation(`did not end within ${STOPS_WITHIN_MS} ms of ${signal}`);
      ending.child.kill("SIGKILL");
    }, STOPS_WITHIN_MS);
    const exit = await ending.stop(signal);
    clearTimeout(late);
    this.#inspect("run", ending, exit);
    return exit;
  }

  /** What a process wrote in all its life. */
  #inspect(what: string, { stdout, stderr, log }: MirrorProcess, exit: Exit): void {
    const lines = stdout.split("\n").filter((line) => line !== "");
    if (lines.length !== log.length) this.#violation(`${what} wrote a line that is no JSON:\n${stdout}`);
    for (const line of log) {
      if (typeof line.level !== "string" || typeof line.msg !== "string") {
        this.#violation(`${what} wrote a line without level or msg: ${JSON.stringify(line)}`);
      }
      // only `run` waits until a refusal is over; the others end with it
      const isDeadly = line.code === "unexpected" || (line.level === "fatal" && what === "run");
      if (isDeadly) this.#violation(`${what}: ${JSON.stringify(line)}`);
    }
    if (stderr !== "") this.#violation(`${what} wrote to standard error (${JSON.stringify(exit)}):\n${stderr}`);
    this.#searchSecrets(what, stdout + stderr);
  }

  #searchSecrets(what: string, text: string): void {
    for (const secret of this.#options.secrets) {
      if (text.includes(secret)) this.#violation(`${what} shows a secret:\n${text}`);
    }
  }

  #violation(what: string): void {
    this.#options.onViolation(`${this.name}: ${what}`);
  }
}
