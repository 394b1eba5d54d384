import { expect, test } from "vitest";
import { readConnection } from "../src/connection.ts";
import { CONNECTION_VARIABLES } from "../src/connection-parameters.ts";
import { checkDatabaseUrl } from "../src/connection-url.ts";

const PEM = "-----BEGIN CERTIFICATE-----\n…\n-----END CERTIFICATE-----\n";
const KEY = "-----BEGIN PRIVATE KEY-----\n…\n-----END PRIVATE KEY-----\n";
const FILES: Record<string, string> = { "/ca.crt": PEM, "/client.crt": PEM, "/client.key": KEY, "/pgpass": "" };

function read(url: string | undefined, env: Record<string, string> = {}, files = FILES) {
  const readFile = (path: string) => {
    const content = files[path];
    if (content === undefined) throw Object.assign(new Error(`ENOENT: ${path}`), { code: "ENOENT" });
    return content;
  };
  if (url !== undefined) expect(checkDatabaseUrl(url)).toBe(undefined);
  return readConnection({ url, urlName: "DATABASE_URL", env, readFile });
}

const defaults = {
  host: "localhost",
  port: 5432,
  user: "u",
  dbname: "u",
  sslmode: "prefer",
  connect_timeout: 0,
};

test.each<[url: string | undefined, env: Record<string, string>, parameters: Record<string, unknown>]>([
  // what a URL says
  ["postgres://u@db", {}, { host: "db" }],
  ["postgresql://u:p%40ss%2F%23+@db:6432/w%20s", {}, { host: "db", port: 6432, password: "p@ss/#+", dbname: "w s" }],
  ["postgres://u@[::1]:6432/x", {}, { host: "::1", port: 6432, dbname: "x" }],
  ["postgres://u:pw@/x?host=/var/run/postgresql", {}, { host: "/var/run/postgresql", password: "pw", dbname: "x" }],
  ["postgres://u@%2Fvar%2Frun%2Fpostgresql/x", {}, { host: "/var/run/postgresql", dbname: "x" }],
  ["postgres:///x?host=db&user=u&password=a%26b&port=1", {}, { host: "db", port: 1, password: "a&b", dbname: "x" }],
  ["postgres://u@db/x?application_name=me@home", {}, { host: "db", dbname: "x", application_name: "me@home" }],
  ["postgres://u@db?options=-c%20a=b+c&connect_timeout=3", {}, { host: "db", options: "-c a=b+c", connect_timeout: 3 }],
  ["postgres://u@db?ssl=true", {}, { host: "db", sslmode: "require" }],
  [
    "postgres://u@db?sslmode=require&uselibpqcompat=true",
    {},
    { host: "db", sslmode: "require", uselibpqcompat: "true" },
  ],
  ["postgres://u@db?sslrootcert=system", {}, { host: "db", sslrootcert: "system", sslmode: "verify-full" }],
  [
    "postgres://u@db?sslmode=verify-ca&sslrootcert=/ca.crt&sslcert=/client.crt&sslkey=/client.key",
    {},
    { host: "db", sslmode: "verify-ca", sslrootcert: "/ca.crt", sslcert: "/client.crt", sslkey: "/client.key" },
  ],
  // what variables say, alone or where the URL says nothing
  [undefined, { PGHOST: "db", PGUSER: "u" }, { host: "db" }],
  [
    undefined,
    {
      PGHOST: "db",
      PGPORT: "1",
      PGUSER: "u",
      PGPASSWORD: " p w ",
      PGDATABASE: "x",
      PGAPPNAME: "a",
      PGOPTIONS: "-c a=b",
    },
    { host: "db", port: 1, password: " p w ", dbname: "x", application_name: "a", options: "-c a=b" },
  ],
  [
    undefined,
    { PGHOST: "db", PGUSER: "u", PGSSLMODE: "verify-full", PGSSLROOTCERT: "/ca.crt", PGCONNECT_TIMEOUT: "3" },
    { host: "db", sslmode: "verify-full", sslrootcert: "/ca.crt", connect_timeout: 3 },
  ],
  [undefined, { PGHOST: "/var/run/postgresql", USER: "u" }, { host: "/var/run/postgresql" }],
  [undefined, { PGHOST: "db", PGUSER: "u", PGPASSFILE: "/pgpass" }, { host: "db", passfile: "/pgpass" }],
  [
    "postgres://u@db/x?sslmode=require",
    { PGHOST: "other", PGPORT: "1", PGPASSWORD: "pw", PGSSLMODE: "disable" },
    { host: "db", port: 1, password: "pw", dbname: "x", sslmode: "require" },
  ],
  ["postgres://u@/x", { PGHOST: "db" }, { host: "db", dbname: "x" }],
  ["postgres://u@db", { PGTARGETSESSIONATTRS: "read-write" }, { host: "db", target_session_attrs: "read-write" }],
])("reads %s with %j", (url, env, parameters) => {
  expect(read(url, env)).toEqual({ parameters: { ...defaults, ...parameters }, problems: [], warnings: [] });
});

test("looks for files where libpq looks for them", () => {
  const files = {
    "/home/m/.pgpass": "",
    "/home/m/.postgresql/root.crt": PEM,
    "/home/m/.postgresql/postgresql.crt": PEM,
    "/home/m/.postgresql/postgresql.key": KEY,
  };
  expect(read("postgres://u@db?sslmode=verify-ca", { HOME: "/home/m" }, files).parameters).toEqual({
    ...defaults,
    host: "db",
    sslmode: "verify-ca",
    passfile: "/home/m/.pgpass",
    sslrootcert: "/home/m/.postgresql/root.crt",
    sslcert: "/home/m/.postgresql/postgresql.crt",
    sslkey: "/home/m/.postgresql/postgresql.key",
  });
  expect(read("postgres://u@db", { HOME: "/home/other" }, files).parameters).toEqual({ ...defaults, host: "db" });
});

const modes = "must be one of disable, allow, prefer, require, verify-ca, verify-full";
const noAuthority =
  "needs PGSSLROOTCERT: a file that holds the certificate authority of the server, or system for one that is publicly trusted";

test.each<[url: string | undefined, env: Record<string, string>, problems: string[]]>([
  ["postgres://u@db:0", {}, ["DATABASE_URL: port must be a port number"]],
  ["postgres://u@db?port=x", { PGPORT: "1" }, ["DATABASE_URL: port must be a port number"]],
  ["postgres://u@db", { PGPORT: "65536" }, ["PGPORT must be a port number"]],
  ["postgres://u@db?sslmode=no-verify", {}, [`DATABASE_URL: sslmode ${modes}`]],
  [
    "postgres://u@db?ssl_mode=require&schema=public",
    {},
    [
      "DATABASE_URL: ssl_mode is no parameter that libpq knows",
      "DATABASE_URL: schema is no parameter that libpq knows",
    ],
  ],
  ["postgres://u@db?ssl=no-verify", {}, ["DATABASE_URL: ssl is no parameter that libpq knows"]],
  [
    "postgres://u@db",
    { PGSSLMODE: "on", PGCONNECT_TIMEOUT: "10s" },
    [`PGSSLMODE ${modes}`, "PGCONNECT_TIMEOUT must be a whole number of seconds"],
  ],
  [
    undefined,
    { PGHOST: "a,b", PGUSER: "u" },
    ["PGHOST names several hosts: give one, a name that follows the primary"],
  ],
  [
    undefined,
    { PGSERVICE: "mirror" },
    ["PGSERVICE is not supported: give what the service file holds as PGHOST, PGUSER and so on, or as DATABASE_URL"],
  ],
  [undefined, { PGHOSTADDR: "10.0.0.1" }, ["PGHOSTADDR is not supported: give the address as the host"]],
  [
    "postgres://u@db",
    { PGSSLCRL: "/crl" },
    ["PGSSLCRL is not supported: certificates are checked against sslrootcert only"],
  ],
  [
    "postgres://u@db",
    { PGGSSENCMODE: "require", PGTARGETSESSIONATTRS: "standby" },
    [
      "PGGSSENCMODE is supported only as disable or prefer: encrypt with sslmode instead",
      "PGTARGETSESSIONATTRS is supported only as any or read-write or primary: a mirror has to write",
    ],
  ],
  ["postgres://db", {}, ["PGUSER is missing, and so is the user in DATABASE_URL"]],
  [undefined, { PGHOST: "db" }, ["PGUSER is missing, and there is no DATABASE_URL"]],
  ["postgres://u@db?sslmode=verify-full", {}, [`DATABASE_URL: sslmode ${noAuthority}`]],
  ["postgres://u@db", { PGSSLMODE: "verify-ca" }, [`PGSSLMODE ${noAuthority}`]],
  [
    "postgres://u@db?sslmode=require",
    { PGSSLROOTCERT: "system" },
    [
      "DATABASE_URL: sslmode must be verify-full or left out with sslrootcert=system: a public authority signs for anybody",
    ],
  ],
  [
    "postgres://u@db",
    { PGSSLNEGOTIATION: "direct" },
    ["PGSSLNEGOTIATION may be direct only with sslmode=require, verify-ca or verify-full"],
  ],
  ["postgres://u@db?sslcert=/client.crt", {}, ["DATABASE_URL: sslcert and PGSSLKEY must be given together"]],
  [
    "postgres://u@db?sslrootcert=/none",
    { PGPASSFILE: "/no-pgpass" },
    ["DATABASE_URL: sslrootcert can't be read: /none (ENOENT)", "PGPASSFILE can't be read: /no-pgpass (ENOENT)"],
  ],
  [
    "postgres://u@db",
    { PGSSLROOTCERT: "/client.key", PGSSLCERT: "/client.crt", PGSSLKEY: "/ca.crt" },
    [
      "PGSSLROOTCERT holds no certificate in PEM form: /client.key",
      "PGSSLKEY holds no private key in PEM form: /ca.crt",
    ],
  ],
])("refuses %s with %j", (url, env, problems) => {
  expect(read(url, env)).toEqual({ parameters: undefined, problems, warnings: [] });
});

test.each([
  ["mysql://u@db/x", "must begin with postgres:// or postgresql://"],
  ["postgres://u:p,w@a:1,b:2/x", "names several hosts: give one, a name that follows the primary"],
  ["postgres://u@a,b/x", "names several hosts: give one, a name that follows the primary"],
  ["postgres://u:p#w@db/x", "is no URL: characters such as @ : / ? # % in user or password must be percent-encoded"],
])("refuses %s as a whole", (url, problem) => {
  expect(checkDatabaseUrl(url)).toBe(problem);
});

test("a comma in the password is none between hosts", () => {
  expect(read("postgres://u:p,w@db/x?options=a,b").parameters).toMatchObject({ host: "db", password: "p,w" });
});

test("tells that it does not insist on channel binding", () => {
  const url = "postgres://u@db?channel_binding=require";
  expect(read(url).warnings).toEqual([
    "DATABASE_URL: channel_binding is used where the server offers it, but a server that does not is not refused: " +
      "sslmode=verify-full refuses a wrong server",
  ]);
  expect(read(`${url}&sslrootcert=system`).warnings).toEqual([]);
});

test("never repeats a value, however wrong it is", () => {
  const wrong = Object.fromEntries(CONNECTION_VARIABLES.map((name) => [name, "tops3cret, wrong"]));
  const { problems } = read(undefined, { ...wrong, PGPASSFILE: "/pgpass" });
  expect(problems.length).toBeGreaterThan(15);
  expect(problems.filter((problem) => problem.includes("tops3cret"))).toEqual([]);
});
