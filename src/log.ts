import { type DestinationStream, type Logger, pino } from "pino";

export interface LogOptions {
  level: string;
  format: "json" | "pretty";
  /** Texts that may never appear in a line, whoever puts them there. */
  secrets: ReadonlySet<string>;
  /** Fields of every line. */
  base: Record<string, unknown>;
}

/** Writes to standard output: one JSON object a line, or readable lines for a terminal. */
export async function createLogger({ level, format, secrets, base }: LogOptions): Promise<Logger> {
  const options = {
    level,
    base,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    hooks: { streamWrite: (line: string) => withoutSecrets(line, secrets) },
  };
  return format === "json" ? pino(options) : pino(options, await prettyStream());
}

async function prettyStream(): Promise<DestinationStream> {
  const { default: pretty } = await import("pino-pretty");
  return pretty({
    sync: true,
    colorize: true,
    ignore: "pid,hostname,environment",
    translateTime: "SYS:HH:MM:ss.l",
    singleLine: true,
  });
}

/** A shorter text could be part of any innocent line. */
const SHORTEST_SECRET = 8;

function withoutSecrets(line: string, secrets: ReadonlySet<string>): string {
  let clean = line;
  for (const secret of secrets) if (secret.length >= SHORTEST_SECRET) clean = clean.replaceAll(secret, "[redacted]");
  return clean;
}
