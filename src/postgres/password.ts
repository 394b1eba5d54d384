import { readFile, stat } from "node:fs/promises";
import type { ConnectionParameters } from "../connection-parameters.ts";
import { checkDatabaseUrl, parametersIn } from "../connection-url.ts";
import { messageOf, Trouble } from "../trouble.ts";

export interface PasswordSources {
  parameters: ConnectionParameters;
  /** Holds the DATABASE_URL, and with a rotated password heals a refusal without a restart. */
  urlFile: string | undefined;
  /** Whatever is read is added here. */
  secrets: Set<string>;
}

/** Reads the password for each connection anew, where it comes out of a file. Without one it is empty. */
export function createPasswordReader({ parameters, urlFile, secrets }: PasswordSources): () => Promise<string> {
  return async () => {
    const inUrl = urlFile === undefined ? undefined : await readUrlFile(urlFile);
    const password = inUrl ?? parameters.password ?? (await readPassfile(parameters)) ?? "";
    secrets.add(password);
    return password;
  };
}

async function readUrlFile(path: string): Promise<string | undefined> {
  const url = (await contentOf("DATABASE_URL_FILE", path)).trim();
  const problem = checkDatabaseUrl(url);
  if (problem === undefined) return parametersIn(url).password;
  throw trouble(`DATABASE_URL_FILE ${problem}`, "put the URL of the database into that file");
}

async function readPassfile(parameters: ConnectionParameters): Promise<string | undefined> {
  const { passfile } = parameters;
  if (passfile === undefined) return undefined;
  const content = await contentOf("PGPASSFILE", passfile);
  if (((await stat(passfile)).mode & 0o077) !== 0) {
    throw trouble(`PGPASSFILE is open to group or others: ${passfile}`, `chmod 600 ${passfile}, as psql wants it, too`);
  }
  return passwordIn(content, parameters);
}

/** Of the first line `host:port:database:user:password` that fits. A * fits all, a \ takes : and \ as they are. */
function passwordIn(content: string, { host, port, dbname, user }: ConnectionParameters): string | undefined {
  const hosts = host.startsWith("/") ? [host, "localhost"] : [host];
  const wanted = [hosts, [String(port)], [dbname], [user]];
  for (const line of content.split(/\r?\n/)) {
    if (line.startsWith("#")) continue;
    const fields = (line.match(/(?:\\.|[^:\\])+/g) ?? []).map((field) => field.replace(/\\(.)/g, "$1"));
    if (fields.length >= 5 && wanted.every((values, index) => ["*", ...values].includes(fields[index] ?? ""))) {
      return fields[4];
    }
  }
  return undefined;
}

async function contentOf(name: string, path: string): Promise<string> {
  return readFile(path, "utf8").catch((error: unknown) => {
    throw trouble(`${name} can't be read: ${messageOf(error)}`, "make the file readable for this program");
  });
}

function trouble(message: string, hint: string): Trouble {
  return new Trouble(message, { kind: "refused", code: "password_unreadable", hint });
}
