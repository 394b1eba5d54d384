import { expect, test } from "vitest";
import { ConfigError, parseConfig, parseSince } from "../src/config.ts";
import { addMs } from "../src/instant.ts";
import { VARIABLES } from "../src/variables.ts";

const NOW = "2026-08-20T12:00:00.000000Z";
const DAY_MS = 86_400_000;
const NEEDED = { WORKOS_API_KEY: "sk_test_1", DATABASE_URL: "postgres://mirror:secret@db:5432/workos" };

interface Surroundings {
  files?: Record<string, string>;
  needsKey?: boolean;
}

/** The configuration as data: where it begins is asked for the present and for ten days later. */
function read(env: Record<string, string | undefined>, { files = {}, needsKey = true }: Surroundings = {}) {
  const readFile = (path: string) => {
    const content = files[path];
    if (content === undefined) throw Object.assign(new Error(`ENOENT: ${path}`), { code: "ENOENT" });
    return content;
  };
  const knownEvents = ["user.created", "user.deleted"];
  const { startAt, ...config } = parseConfig({ env, readFile, now: NOW, needsKey, knownEvents });
  return { ...config, starts: [startAt(NOW), startAt(addMs(NOW, 10 * DAY_MS))] };
}

/** What the report names, a line each, without its first line. */
function mistakes(env: Record<string, string | undefined>, surroundings: Surroundings = {}): string[] {
  try {
    read(env, surroundings);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.message.split(/^the configuration has a mistake: |\n {2}/).slice(1);
  }
}

const defaults = {
  apiKey: { value: "sk_test_1" },
  baseUrl: "https://api.workos.com",
  environment: "default",
  filter: {},
  database: {
    host: "db",
    port: 5432,
    user: "mirror",
    password: "secret",
    dbname: "workos",
    sslmode: "prefer",
    connect_timeout: 0,
  },
  databaseUrlFile: undefined,
  starts: [addMs(NOW, -90 * DAY_MS), addMs(NOW, -80 * DAY_MS)],
  pollIntervalMs: 1000,
  rateLimit: { requests: 100, perMs: 10_000 },
  pageSize: 100,
  requestTimeoutMs: 30_000,
  catchUpConcurrency: "auto",
  sweep: { intervalMs: 600_000, windowMs: 900_000 },
  http: { host: "0.0.0.0", port: 8080 },
  logLevel: "info",
  logFormat: undefined,
  warnings: [],
};

test("needs a key and a database, and has a default for everything else", () => {
  expect(read(NEEDED)).toEqual(defaults);
});

test("takes an empty variable for one that is not set, as compose files write it", () => {
  const empty = Object.fromEntries(VARIABLES.map((name, index) => [name, index % 2 === 0 ? "" : " \t"]));
  expect(read({ ...empty, WORKOS_EVENT: "", UNSET: undefined, ...NEEDED })).toEqual(defaults);
});

const good: [env: Record<string, string>, changed: Partial<ReturnType<typeof read>>][] = [
  [{ WORKOS_API_KEY: " sk_test_2\n" }, { apiKey: { value: "sk_test_2" } }],
  [{ WORKOS_BASE_URL: "https://proxy.internal:8443/workos//" }, { baseUrl: "https://proxy.internal:8443/workos" }],
  [{ WORKOS_BASE_URL: "https://api.workos.com?" }, { baseUrl: "https://api.workos.com" }],
  [{ WORKOS_BASE_URL: "https://api.workos.com/#" }, { baseUrl: "https://api.workos.com" }],
  [{ WORKOS_BASE_URL: "http://localhost:4100" }, { baseUrl: "http://localhost:4100" }],
  [{ WORKOS_BASE_URL: "http://127.0.0.53/" }, { baseUrl: "http://127.0.0.53" }],
  [{ WORKOS_BASE_URL: "http://[::1]:4100" }, { baseUrl: "http://[::1]:4100" }],
  [{ WORKOS_BASE_URL: "http://emulator:4100", WORKOS_ALLOW_HTTP: "true" }, { baseUrl: "http://emulator:4100" }],
  [{ WORKOS_ALLOW_HTTP: "false" }, {}],
  [{ WORKOS_ENVIRONMENT: "Prod EU · 東京" }, { environment: "Prod EU · 東京" }],
  [
    { WORKOS_EVENTS: "user.deleted, user.created,\n user.deleted" },
    { filter: { events: ["user.created", "user.deleted"] } },
  ],
  [{ WORKOS_ORGANIZATION_ID: "org_01EZTR6WYX1A" }, { filter: { organizationId: "org_01EZTR6WYX1A" } }],
  [{ SYNC_SINCE: "36h" }, { starts: [addMs(NOW, -1.5 * DAY_MS), addMs(NOW, 8.5 * DAY_MS)] }],
  [{ SYNC_SINCE: "2026-08-01" }, { starts: ["2026-08-01T00:00:00.000000Z", "2026-08-01T00:00:00.000000Z"] }],
  [
    { SYNC_SINCE: "2026-08-01T02:00:00.000001+02:00" },
    { starts: ["2026-08-01T00:00:00.000001Z", "2026-08-01T00:00:00.000001Z"] },
  ],
  [{ POLL_INTERVAL: "100ms" }, { pollIntervalMs: 100 }],
  [{ POLL_INTERVAL: "1.5 minutes" }, { pollIntervalMs: 90_000 }],
  [{ POLL_INTERVAL: "1d" }, { pollIntervalMs: DAY_MS }],
  [{ RATE_LIMIT: "1/1s" }, { rateLimit: { requests: 1, perMs: 1000 } }],
  [{ RATE_LIMIT: "6000 / 1h" }, { rateLimit: { requests: 6000, perMs: 3_600_000 } }],
  [{ PAGE_SIZE: "1" }, { pageSize: 1 }],
  [{ PAGE_SIZE: "100" }, { pageSize: 100 }],
  [{ REQUEST_TIMEOUT: "1s" }, { requestTimeoutMs: 1000 }],
  [{ REQUEST_TIMEOUT: "10m" }, { requestTimeoutMs: 600_000 }],
  [{ CATCH_UP_CONCURRENCY: "auto" }, { catchUpConcurrency: "auto" }],
  [{ CATCH_UP_CONCURRENCY: "1" }, { catchUpConcurrency: 1 }],
  [{ CATCH_UP_CONCURRENCY: "50" }, { catchUpConcurrency: 50 }],
  [{ SWEEP_INTERVAL: "1s", SWEEP_WINDOW: "30d" }, { sweep: { intervalMs: 1000, windowMs: 30 * DAY_MS } }],
  [{ SWEEP_INTERVAL: "off" }, { sweep: undefined }],
  [{ HTTP_HOST: "::1", HTTP_PORT: "0" }, { http: { host: "::1", port: 0 } }],
  [{ HTTP_PORT: "65535" }, { http: { host: "0.0.0.0", port: 65_535 } }],
  [{ HTTP_PORT: "off" }, { http: undefined }],
  [{ LOG_LEVEL: "silent" }, { logLevel: "silent" }],
  [{ LOG_FORMAT: "pretty" }, { logFormat: "pretty" }],
];

test.each(good)("accepts %j", (env, changed) => {
  expect(read({ ...NEEDED, ...env })).toEqual({ ...defaults, ...changed });
});

const databaseUrl =
  "DATABASE_URL is no URL: characters such as @ : / ? # % in user or password must be percent-encoded";
const baseUrl = "WORKOS_BASE_URL must be a URL such as https://api.workos.com";
const https =
  "WORKOS_BASE_URL must be https, or the API key crosses the network readable (WORKOS_ALLOW_HTTP=true allows it)";
const bareUrl = "WORKOS_BASE_URL must hold no user, password, query or fragment";
const label = "WORKOS_ENVIRONMENT must be a label of at most 100 printable characters";
const organization = "WORKOS_ORGANIZATION_ID must be one organization id, such as org_01EZTR6WYX1A0DSE2CYMGXQ24Y";
const since = "SYNC_SINCE must be ISO 8601 or a duration, such as 2026-01-31T00:00:00Z or 90d";
const interval = "POLL_INTERVAL must be a duration between 100ms and 1d, such as 1s";
const limit = "RATE_LIMIT must be requests/duration, such as 100/10s, with a duration between 1s and 1h";
const size = "PAGE_SIZE must be a whole number between 1 and 100";
const timeout = "REQUEST_TIMEOUT must be a duration between 1s and 10m, such as 30s";
const port = "HTTP_PORT must be a port number or off";
const events = (wrong: string) =>
  `WORKOS_EVENTS must be event types separated by commas, such as user.created,user.updated; not ${wrong}`;

const bad: [name: string, values: string[], mistake: string][] = [
  [
    "WORKOS_API_KEY",
    ["sk test", "sk_tést", "sk\u0000"],
    "WORKOS_API_KEY holds spaces or other characters that no API key has",
  ],
  ["WORKOS_BASE_URL", ["api.workos.com", "https://", "ftp://api.workos.com", "/events"], baseUrl],
  [
    "WORKOS_BASE_URL",
    ["http://api.workos.com", "http://127.0.0.1.example.com", "http://10.0.0.1", "http://[::2]"],
    https,
  ],
  ["WORKOS_BASE_URL", ["https://u@api.workos.com", "https://:pw@api.workos.com"], bareUrl],
  ["WORKOS_BASE_URL", ["https://api.workos.com/?a=1", "https://api.workos.com/#a"], bareUrl],
  ["WORKOS_ALLOW_HTTP", ["yes", "1", "TRUE"], "WORKOS_ALLOW_HTTP must be true or false"],
  ["WORKOS_ENVIRONMENT", ["a\nb", "x".repeat(101), "\ud800"], label],
  ["WORKOS_EVENTS", ["user.created,"], events('""')],
  ["WORKOS_EVENTS", ["user.created user.deleted"], events('"user.created user.deleted"')],
  ["WORKOS_EVENTS", ["user.*,user.created,.user,user..x"], events('"user.*", ".user", "user..x"')],
  ["WORKOS_ORGANIZATION_ID", ["org_1,org_2", "org 1", "o".repeat(256)], organization],
  [
    "DATABASE_URL",
    ["mysql://db/workos", "db:5432/workos"],
    "DATABASE_URL must begin with postgres:// or postgresql://",
  ],
  ["DATABASE_URL", ["postgres://u:p#w@db/x", "postgres://u:12#w@db/x", "postgres://u:p%w@db/x"], databaseUrl],
  ["DATABASE_URL", ["postgres://u:p/w@db/x", "postgres://u:12/w@db/x", "postgres://u:12?w@db/x"], databaseUrl],
  ["DATABASE_URL", ["postgres://u:a@b/c@db/x", "postgres://u:a@b?c@db/x", "postgres://u:p%FF%FE@db/x"], databaseUrl],
  ["SYNC_SINCE", ["yesterday", "90", "-1d", "2026-02-30", "2026-08-01T25:00:00Z", "1y", "99999999999999d"], since],
  [
    "SYNC_SINCE",
    ["2026-08-21", "2026-08-20T12:00:00.000001Z"],
    "SYNC_SINCE lies in the future: nothing would be mirrored until then",
  ],
  ["POLL_INTERVAL", ["1", "99ms", "25h", "1s 1s", "1y", "-1s", "1e3s"], interval],
  [
    "RATE_LIMIT",
    ["100", "0/10s", "100/10", "100/999ms", "100/61m", "1.5/10s", "-1/10s", "10s/100", "1000000000/1s"],
    limit,
  ],
  ["PAGE_SIZE", ["0", "101", "-1", "1.5", "ten", "1e1", "0x10"], size],
  ["REQUEST_TIMEOUT", ["999ms", "11m", "30"], timeout],
  [
    "CATCH_UP_CONCURRENCY",
    ["0", "51", "many", "1.5"],
    "CATCH_UP_CONCURRENCY must be auto or a whole number between 1 and 50",
  ],
  [
    "SWEEP_INTERVAL",
    ["0", "999ms", "25h", "never"],
    "SWEEP_INTERVAL must be off or a duration between 1s and 1d, such as 10m",
  ],
  ["SWEEP_WINDOW", ["off", "999ms", "31d"], "SWEEP_WINDOW must be a duration between 1s and 30d, such as 15m"],
  ["HTTP_PORT", ["-1", "80a", "OFF", "8080.5"], port],
  ["HTTP_PORT", ["65536"], "HTTP_PORT must be a whole number between 0 and 65535"],
  ["LOG_LEVEL", ["verbose", "INFO"], "LOG_LEVEL must be one of trace, debug, info, warn, error, fatal, silent"],
  ["LOG_FORMAT", ["text"], "LOG_FORMAT must be json or pretty"],
];

test.each(bad)("refuses a wrong %s: %j", (name, values, mistake) => {
  const told = values.map((value) => [value, mistakes({ ...NEEDED, [name]: value })]);
  expect(told).toEqual(values.map((value) => [value, [mistake]]));
});

test("lets http through beyond loopback only for a plain yes", () => {
  const url = { ...NEEDED, WORKOS_BASE_URL: "http://emulator:4100" };
  expect(["", "false"].map((allowed) => mistakes({ ...url, WORKOS_ALLOW_HTTP: allowed }))).toEqual([[https], [https]]);
});

test("names all mistakes in one report", () => {
  const names = new Set(bad.map(([name]) => name));
  const report = mistakes(Object.fromEntries(bad.map(([name, values]) => [name, values[0]])));
  expect(report.map((line) => line.split(" ")[0]).sort()).toEqual([...names].sort());
  expect(() => read({ ...NEEDED, PAGE_SIZE: "0" })).toThrow(`the configuration has a mistake: ${size}`);
  expect(() => read({ ...NEEDED, PAGE_SIZE: "0", HTTP_PORT: "x" })).toThrow("the configuration has 2 mistakes:\n");
});

const missingKey = "WORKOS_API_KEY (or WORKOS_API_KEY_FILE) is missing: an API key of the WorkOS dashboard, sk_…";
const missingDatabase =
  "DATABASE_URL (or DATABASE_URL_FILE) is missing: where to mirror to, postgres://user:password@host:5432/database; or PGHOST, PGUSER and what else psql reads";

test("says what is missing, the key only to the verbs that need one", () => {
  expect(mistakes({})).toEqual([missingKey, missingDatabase]);
  expect(mistakes({}, { needsKey: false })).toEqual([missingDatabase]);
  expect(read({ DATABASE_URL: NEEDED.DATABASE_URL }, { needsKey: false })).toEqual({ ...defaults, apiKey: undefined });
});

test("reads secrets out of files, the key's again and again", () => {
  const files = { "/run/key": "sk_file\n", "/run/url": " postgres://mirror:secret@db:5432/workos \n" };
  expect(read({ WORKOS_API_KEY_FILE: "/run/key", DATABASE_URL_FILE: "/run/url" }, { files })).toEqual({
    ...defaults,
    apiKey: { file: "/run/key" },
    databaseUrlFile: "/run/url",
  });
});

test("says which file of a secret is missing, empty, wrong, or one too many", () => {
  const files = { "/empty": " \n", "/spaces": "sk_secret sk_other", "/mysql": "mysql://u:hidden@db/x" };
  const ofKey = (WORKOS_API_KEY_FILE: string) =>
    mistakes({ DATABASE_URL: NEEDED.DATABASE_URL, WORKOS_API_KEY_FILE }, { files });
  expect([
    ofKey("/none"),
    ofKey("/empty"),
    ofKey("/spaces"),
    mistakes({ WORKOS_API_KEY: "sk_1", DATABASE_URL_FILE: "/mysql" }, { files }),
    mistakes({ ...NEEDED, WORKOS_API_KEY_FILE: "/none", DATABASE_URL_FILE: "/none" }, { files }),
  ]).toEqual([
    ["WORKOS_API_KEY_FILE can't be read: /none (ENOENT)"],
    ["WORKOS_API_KEY_FILE names an empty file: /empty"],
    ["WORKOS_API_KEY_FILE holds spaces or other characters that no API key has"],
    ["DATABASE_URL_FILE must begin with postgres:// or postgresql://"],
    [
      "WORKOS_API_KEY and WORKOS_API_KEY_FILE are both set: only one of them may be",
      "DATABASE_URL and DATABASE_URL_FILE are both set: only one of them may be",
    ],
  ]);
});

test("never repeats a secret, however wrong it is", () => {
  const files = { "/key": "tops3cret key", "/url": "postgres://u:tops3cret%zz@db/x" };
  const everything = Object.fromEntries(VARIABLES.map((name) => [name, "tops3cret wrong"]));
  const { WORKOS_EVENTS, ...rest } = everything; // event types are no secret: the wrong ones are named
  const reports = [
    mistakes({ ...rest, WORKOS_API_KEY_FILE: undefined, DATABASE_URL_FILE: undefined }),
    mistakes({ WORKOS_API_KEY_FILE: "/key", DATABASE_URL_FILE: "/url" }, { files }),
    mistakes({ WORKOS_API_KEY: "sk", DATABASE_URL: "postgres://tops3cret:tops3cret/@db/tops3cret" }),
    mistakes({ ...NEEDED, WORKOS_BASE_URL: "https://tops3cret:tops3cret@api.workos.com/tops3cret?tops3cret" }),
  ];
  expect(reports.map((report) => report.length > 0)).toEqual([true, true, true, true]);
  expect(reports.flat().filter((line) => line.includes("tops3cret"))).toEqual([]);
});

test("warns of variables that look like a typo, and of event types that it has not heard of", () => {
  const typos = {
    WORKOS_EVENT: "x",
    WORKOS_APIKEY: "x",
    WORKOS_ORGANISATION_ID: "x",
    workos_base_url: "x",
    WORKOS_ORGANIZATION: "x",
    REQUEST_TIMOUTS: "x",
    LOGLEVEL: "x",
    DATABASE_URI: "x",
    PGPASSWD: "x",
    PG_HOST: "x",
  };
  expect(read({ ...NEEDED, ...typos, WORKOS_EVENTS: "user.created,user.craeted" })).toEqual({
    ...defaults,
    filter: { events: ["user.craeted", "user.created"] },
    warnings: [
      "WORKOS_EVENT is not read by this program: did you mean WORKOS_EVENTS?",
      "WORKOS_APIKEY is not read by this program: did you mean WORKOS_API_KEY?",
      "WORKOS_ORGANISATION_ID is not read by this program: did you mean WORKOS_ORGANIZATION_ID?",
      "workos_base_url is not read by this program: did you mean WORKOS_BASE_URL?",
      "WORKOS_ORGANIZATION is not read by this program: did you mean WORKOS_ORGANIZATION_ID?",
      "REQUEST_TIMOUTS is not read by this program: did you mean REQUEST_TIMEOUT?",
      "LOGLEVEL is not read by this program: did you mean LOG_LEVEL?",
      "DATABASE_URI is not read by this program: did you mean DATABASE_URL?",
      "PGPASSWD is not read by this program: did you mean PGPASSWORD?",
      "PG_HOST is not read by this program: did you mean PGHOST?",
      "WORKOS_EVENTS names user.craeted, which this version has not heard of: a new type, or a typo?",
    ],
  });
});

test("keeps quiet about the variables of others, those of other WorkOS programs too", () => {
  const others = [
    "PATH",
    "PORT",
    "HOSTNAME",
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "NO_PROXY",
    "PGHOST",
    "PGPORT",
  ];
  const workos = [
    "WORKOS_CLIENT_ID",
    "WORKOS_BASE_URI",
    "WORKOS_API_HOSTNAME",
    "WORKOS_API_PORT",
    "WORKOS_COOKIE_PASSWORD",
    "WORKOS_REDIRECT_URI",
  ];
  const env = Object.fromEntries([...others, ...workos].map((name) => [name, "1"]));
  expect(read({ ...env, ...NEEDED })).toEqual(defaults);
});

test("reads a time of the command line as it reads SYNC_SINCE", () => {
  expect(
    ["2026-08-01", "2026-08-01T10:00:00.000001Z", "2d", "14600d", "0s", "soon", "", "317y"].map((text) =>
      parseSince(text, NOW),
    ),
  ).toEqual([
    "2026-08-01T00:00:00.000000Z",
    "2026-08-01T10:00:00.000001Z",
    addMs(NOW, -2 * DAY_MS),
    addMs(NOW, -14_600 * DAY_MS),
    NOW,
    undefined,
    undefined,
    undefined,
  ]);
});
