import { checkDatabaseUrl } from "./connection-url.ts";

/** A value, or the file that holds it: read again before each use, so that the secret can be rotated. */
export type Secret = { value: string } | { file: string };

export interface SecretSources {
  /** Throws when the file can't be read. */
  readFile: (path: string) => string;
  /** False for verbs that only talk to the database. */
  needsKey: boolean;
}

export interface Secrets {
  apiKey: Secret | undefined;
  /** Undefined when it is wrong or missing; without a URL, variables say where the database is. */
  database: { url: string | undefined; urlName: string } | undefined;
  problems: string[];
}

/** Reads what may be given as a value or as a file; no problem that is told holds a value. */
export function readSecrets(env: Record<string, string | undefined>, { readFile, needsKey }: SecretSources): Secrets {
  const problems: string[] = [];
  const read = (name: string, check: (value: string) => string | undefined): string | undefined => {
    const file = env[`${name}_FILE`];
    if (env[name] !== undefined && file !== undefined) {
      problems.push(`${name} and ${name}_FILE are both set: only one of them may be`);
      return undefined;
    }
    const value = file === undefined ? env[name] : contentOf(name, file, readFile, problems);
    const problem = value === undefined ? undefined : check(value.trim());
    if (problem === undefined) return value?.trim();
    problems.push(`${name}${file === undefined ? "" : "_FILE"} ${problem}`);
    return undefined;
  };
  const key = read("WORKOS_API_KEY", checkKey);
  const url = read("DATABASE_URL", checkDatabaseUrl);
  if (needsKey && !env.WORKOS_API_KEY && !env.WORKOS_API_KEY_FILE) {
    problems.push("WORKOS_API_KEY (or WORKOS_API_KEY_FILE) is missing: an API key of the WorkOS dashboard, sk_…");
  }
  const hasUrl = Boolean(env.DATABASE_URL || env.DATABASE_URL_FILE);
  const hasVariables = Boolean(env.PGHOST || env.PGHOSTADDR || env.PGSERVICE);
  if (!hasUrl && !hasVariables) {
    problems.push(
      "DATABASE_URL (or DATABASE_URL_FILE) is missing: where to mirror to, postgres://user:password@host:5432/database; " +
        "or PGHOST, PGUSER and what else psql reads",
    );
  }
  const keyFile = env.WORKOS_API_KEY_FILE;
  const apiKey = keyFile === undefined ? key && { value: key } : { file: keyFile };
  const urlName = env.DATABASE_URL_FILE === undefined ? "DATABASE_URL" : "DATABASE_URL_FILE";
  const isKnown = url !== undefined || (!hasUrl && hasVariables);
  return { apiKey: apiKey || undefined, database: isKnown ? { url, urlName } : undefined, problems };
}

function contentOf(
  name: string,
  file: string,
  readFile: SecretSources["readFile"],
  problems: string[],
): string | undefined {
  try {
    const content = readFile(file);
    if (content.trim() !== "") return content;
    problems.push(`${name}_FILE names an empty file: ${file}`);
  } catch (error) {
    const reason = error instanceof Error && "code" in error ? String(error.code) : "unknown error";
    problems.push(`${name}_FILE can't be read: ${file} (${reason})`);
  }
  return undefined;
}

/** Undefined when it may be sent in a header. */
export function checkKey(key: string): string | undefined {
  return /^[\x21-\x7e]+$/.test(key) ? undefined : "holds spaces or other characters that no API key has";
}
