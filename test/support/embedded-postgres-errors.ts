import * as files from "node:fs/promises";
import { dirname } from "node:path";

export const ownDatabase = "or use a PostgreSQL of your own (DATABASE_URL=… npm start)";

/** Trouble that the operator can mend: one sentence that says how. */
export class EmbeddedPostgresError extends Error {
  override name = "EmbeddedPostgresError";
}

export function explain(output: string, dataDir: string, port: number): EmbeddedPostgresError {
  const reason = /(?:FATAL|error|ERROR|PANIC): +(.*)/.exec(output)?.[1] ?? output.trim().split("\n").at(-1);
  const sentences: [RegExp, string][] = [
    [
      /lock file .* already exists|pre-existing shared memory/,
      `Another PostgreSQL still runs on ${dataDir}, or is just starting. Stop that one first.`,
    ],
    [
      /shared memory|shmget/,
      `PostgreSQL got no shared memory (${reason}). Mount /dev/shm, or make it larger, ${ownDatabase}.`,
    ],
    [/No space left|quota exceeded/i, diskFull(dirname(dataDir)).message],
    [/Address already in use/, portTaken(port)],
    [/Permission denied|Read-only/, notWritable(dataDir, reason ?? "")],
  ];
  const known = sentences.find(([pattern]) => pattern.test(output))?.[1];
  return new EmbeddedPostgresError(known ?? `PostgreSQL did not start: ${reason}. More in ${dataDir}.log.`);
}

export function asSentence(error: unknown, dataDir: string): unknown {
  const code = codeOf(error);
  if (code === "ENOSPC" || code === "EDQUOT") return diskFull(dirname(dataDir));
  if (!/^(EACCES|EPERM|EROFS|ENOTDIR|EEXIST|ENOENT)$/.test(code)) return error;
  return new EmbeddedPostgresError(notWritable(dataDir, (error as Error).message), { cause: error });
}

function portTaken(port: number): string {
  return `Port ${port} on 127.0.0.1 is taken by another program. Stop that, or choose another one: DEMO_POSTGRES_PORT=${port + 1}.`;
}

function notWritable(dataDir: string, reason: string): string {
  return `The data directory ${dataDir} cannot be used (${reason}). Make it writable for this user, ${ownDatabase}.`;
}

export function diskFull(directory: string): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    `The disk of ${directory} is full: PostgreSQL needs 100 MB. Free some space, and start again.`,
  );
}

export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

export async function readIfThere(path: string): Promise<string | undefined> {
  return await files.readFile(path, "utf8").catch((error) => {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  });
}

export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return codeOf(error) === "EPERM";
  }
}
