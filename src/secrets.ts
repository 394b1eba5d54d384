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
  databaseUrl: string | undefined;
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
    if (problem !== undefined) problems.push(`${name}${file === undefined ? "" : "_FILE"} ${problem}`);
    return value?.trim();
  };
  const key = read("WORKOS_API_KEY", checkKey);
  const databaseUrl = read("DATABASE_URL", checkDatabaseUrl);
  if (needsKey && !env.WORKOS_API_KEY && !env.WORKOS_API_KEY_FILE) {
    problems.push("WORKOS_API_KEY (or WORKOS_API_KEY_FILE) is missing: an API key of the WorkOS dashboard, sk_…");
  }
  if (!env.DATABASE_URL && !env.DATABASE_URL_FILE && !env.PGHOST) {
    problems.push(
      "DATABASE_URL (or DATABASE_URL_FILE) is missing: where to mirror to, postgres://user:password@host:5432/database",
    );
  }
  const keyFile = env.WORKOS_API_KEY_FILE;
  const apiKey = keyFile === undefined ? key && { value: key } : { file: keyFile };
  return { apiKey: apiKey || undefined, databaseUrl, problems };
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

function checkDatabaseUrl(url: string): string | undefined {
  if (!/^postgres(ql)?:\/\//.test(url)) return "must begin with postgres:// or postgresql://";
  // a socket folder is named as ?host=, with no host before the path
  const withHost = url.replace(/@\//, "@localhost/");
  if (URL.canParse(withHost) && !hidesUser(new URL(withHost)) && isDecodable(url)) return undefined;
  return "is no URL: characters such as @ : / ? # % in user or password must be percent-encoded";
}

/** A bare / ? or # in a password ends the host there, and the rest would be logged as the database's name. */
function hidesUser({ username, pathname, search, hash }: URL): boolean {
  const settings = search.slice(1).split("&");
  const isOdd = settings.some((setting) => setting.includes("@") && (username === "" || !setting.includes("=")));
  return hash !== "" || pathname.includes("@") || isOdd;
}

function isDecodable(url: string): boolean {
  try {
    decodeURIComponent(url);
    return true;
  } catch {
    return false;
  }
}
