import { type ConnectionParameters, PARAMETERS, variableOf } from "./connection-parameters.ts";
import { parametersIn } from "./connection-url.ts";

export interface ConnectionSources {
  /** Of valid form. Undefined: variables say it all. */
  url: string | undefined;
  /** What a mistake in it is told of. */
  urlName: string;
  env: Readonly<Record<string, string | undefined>>;
  /** Throws when the file can't be read. */
  readFile: (path: string) => string;
}

export interface ConnectionReading {
  /** Undefined when there are problems. */
  parameters: ConnectionParameters | undefined;
  problems: string[];
  warnings: string[];
}

/** How a parameter is called where it was given. */
type NameOf = (parameter: string) => string;

/** Reads what the URL says and, where it says nothing, variables and libpq's files. No problem that is told holds a value. */
export function readConnection({ url, urlName, env, readFile }: ConnectionSources): ConnectionReading {
  const inUrl = url === undefined ? {} : parametersIn(url);
  const given = { ...filesAtHome(env.HOME, readFile), ...parametersInVariables(env), ...inUrl };
  const nameOf: NameOf = (parameter) => (parameter in inUrl ? `${urlName}: ${parameter}` : variableOf(parameter));
  const parsed = PARAMETERS.safeParse(given);
  if (!parsed.success) {
    const problems = parsed.error.issues.flatMap((issue) =>
      issue.code === "unrecognized_keys"
        ? issue.keys.map((key) => `${nameOf(key)} is no parameter that libpq knows`)
        : [`${nameOf(String(issue.path[0]))} ${issue.message}`],
    );
    return { parameters: undefined, problems, warnings: [] };
  }
  const { user = env.USER ?? env.LOGNAME ?? "", sslmode = defaultMode(parsed.data.sslrootcert) } = parsed.data;
  const parameters = { ...parsed.data, user, dbname: parsed.data.dbname ?? user, sslmode };
  const problems = [
    ...(user === ""
      ? [`PGUSER is missing, and ${url === undefined ? "there is no" : "so is the user in"} ${urlName}`]
      : []),
    ...problemsOfTls(parameters, nameOf),
    ...problemsOfFiles(parameters, nameOf, readFile),
  ];
  return {
    parameters: problems.length === 0 ? parameters : undefined,
    problems,
    warnings: warningsOf(parameters, nameOf),
  };
}

function parametersInVariables(env: ConnectionSources["env"]): Record<string, string> {
  const entries = Object.keys(PARAMETERS.shape).flatMap((name) => {
    const value = env[variableOf(name)];
    return value === undefined ? [] : [[name, value] as const];
  });
  return Object.fromEntries(entries);
}

/** Where libpq looks for what is not said. */
const AT_HOME = {
  passfile: ".pgpass",
  sslrootcert: ".postgresql/root.crt",
  sslcert: ".postgresql/postgresql.crt",
  sslkey: ".postgresql/postgresql.key",
};

function filesAtHome(home: string | undefined, readFile: ConnectionSources["readFile"]): Record<string, string> {
  if (home === undefined) return {};
  const files = Object.entries(AT_HOME).map(([name, file]) => [name, `${home}/${file}`] as const);
  return Object.fromEntries(files.filter(([, path]) => contentOf(path, readFile).content !== undefined));
}

function defaultMode(sslrootcert: string | undefined): ConnectionParameters["sslmode"] {
  return sslrootcert === "system" ? "verify-full" : "prefer";
}

/** What libpq refuses, too: more safety was asked for than there would be. */
function problemsOfTls(
  { sslmode, sslrootcert, sslcert, sslkey, sslnegotiation }: ConnectionParameters,
  nameOf: NameOf,
) {
  const verifies = sslmode === "verify-ca" || sslmode === "verify-full";
  const problems: string[] = [];
  if (verifies && sslrootcert === undefined) {
    problems.push(
      `${nameOf("sslmode")} needs ${nameOf("sslrootcert")}: a file that holds the certificate authority of the server, ` +
        "or system for one that is publicly trusted",
    );
  }
  if (sslrootcert === "system" && sslmode !== "verify-full") {
    problems.push(
      `${nameOf("sslmode")} must be verify-full or left out with sslrootcert=system: a public authority signs for anybody`,
    );
  }
  if (sslnegotiation === "direct" && sslmode !== "require" && !verifies) {
    problems.push(`${nameOf("sslnegotiation")} may be direct only with sslmode=require, verify-ca or verify-full`);
  }
  if ((sslcert === undefined) !== (sslkey === undefined)) {
    problems.push(`${nameOf("sslcert")} and ${nameOf("sslkey")} must be given together`);
  }
  return problems;
}

function problemsOfFiles(parameters: ConnectionParameters, nameOf: NameOf, readFile: ConnectionSources["readFile"]) {
  const holds = { sslrootcert: "CERTIFICATE", sslcert: "CERTIFICATE", sslkey: "PRIVATE KEY", passfile: "" } as const;
  const names = ["sslrootcert", "sslcert", "sslkey", "passfile"] as const;
  return names.flatMap((name) => {
    const path = parameters[name];
    if (path === undefined || path === "system") return [];
    const { content, reason } = contentOf(path, readFile);
    if (content === undefined) return [`${nameOf(name)} can't be read: ${path} (${reason})`];
    const isOther = holds[name] !== "" && !new RegExp(`-----BEGIN [A-Z ]*${holds[name]}-----`).test(content);
    return isOther ? [`${nameOf(name)} holds no ${holds[name].toLowerCase()} in PEM form: ${path}`] : [];
  });
}

function contentOf(path: string, readFile: ConnectionSources["readFile"]): { content?: string; reason?: string } {
  try {
    return { content: readFile(path) };
  } catch (error) {
    return { reason: error instanceof Error && "code" in error ? String(error.code) : "unknown error" };
  }
}

function warningsOf({ channel_binding, sslmode }: ConnectionParameters, nameOf: NameOf): string[] {
  if (channel_binding !== "require" || sslmode === "verify-full") return [];
  return [
    `${nameOf("channel_binding")} is used where the server offers it, but a server that does not is not refused: ` +
      "sslmode=verify-full refuses a wrong server",
  ];
}
