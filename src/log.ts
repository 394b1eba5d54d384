import { type DestinationStream, type Logger, pino } from "pino";

export interface LogOptions {
  level: string;
  format: "json" | "pretty";
  /** Texts that may never appear in a line, whoever puts them there. */
  secrets: ReadonlySet<string>;
  to: "stdout" | "stderr";
  /** Fields of every line. */
  base: Record<string, unknown>;
}

const DESCRIPTORS = { stdout: 1, stderr: 2 };

/** Writes one JSON object a line, or readable lines for a terminal. */
export async function createLogger({ level, format, secrets, to, base }: LogOptions): Promise<Logger> {
  const options = {
    level,
    base,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    hooks: { streamWrite: (line: string) => withoutSecrets(line, secrets) },
  };
  const dest = DESCRIPTORS[to];
  return pino(options, format === "json" ? pino.destination({ dest, sync: true }) : await prettyStream(dest));
}

async function prettyStream(destination: number): Promise<DestinationStream> {
  const { default: pretty } = await import("pino-pretty");
  return pretty({
    destination,
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
