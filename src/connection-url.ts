/** Undefined when it can be read, else the rest of a sentence; it holds nothing of the URL. */
export function checkDatabaseUrl(url: string): string | undefined {
  if (!/^postgres(ql)?:\/\//.test(url)) return "must begin with postgres:// or postgresql://";
  const [, authority = ""] = /\/\/([^/?#]*)/.exec(url) ?? [];
  if (authority.split("@").at(-1)?.includes(","))
    return "names several hosts: give one, a name that follows the primary";
  if (URL.canParse(withHost(url)) && !hidesUser(new URL(withHost(url))) && isDecodable(url)) return undefined;
  return "is no URL: characters such as @ : / ? # % in user or password must be percent-encoded";
}

/** The parameters that a URL of valid form gives, by libpq's names; what it leaves empty is not given. */
export function parametersIn(url: string): Record<string, string> {
  const { username, password, hostname, port, pathname, search } = new URL(withHost(url));
  const host = hostname === NO_HOST ? "" : hostname.replace(/^\[(.*)\]$/, "$1");
  const settings = search
    .slice(1)
    .split("&")
    .map((setting) => setting.split(/=(.*)/s, 2));
  const parts = Object.entries({ host, port, user: username, password, dbname: pathname.slice(1) });
  const given = [...parts, ...settings]
    .map(([name = "", value = ""]) => [decodeURIComponent(name), decodeURIComponent(value)] as const)
    .filter(([, value]) => value !== "");
  return withoutSsl(Object.fromEntries(given));
}

/** A socket's folder is named as ?host=, with nothing between the user and the path, which URL does not read. */
const NO_HOST = "no-host.invalid";

function withHost(url: string): string {
  return url.replace(/^([^/]+\/\/[^/?#]*@)(?=[/?#]|$)/, `$1${NO_HOST}`);
}

/** libpq takes the ssl=true of JDBC for sslmode=require. */
function withoutSsl({ ssl, ...given }: Record<string, string>): Record<string, string> {
  if (ssl === undefined) return given;
  return ssl === "true" ? { sslmode: "require", ...given } : { ssl, ...given };
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
