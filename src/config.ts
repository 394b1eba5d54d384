import ms from "ms";
import * as z from "zod";
import { readConnection } from "./connection.ts";
import type { ConnectionParameters } from "./connection-parameters.ts";
import type { EventFilter } from "./event.ts";
import { addMs, type Instant, parseInstant } from "./instant.ts";
import { readSecrets, type Secret, type SecretSources } from "./secrets.ts";
import { findTypos } from "./variables.ts";

export interface Config {
  apiKey: Secret | undefined;
  /** Without a trailing slash. */
  baseUrl: string;
  environment: string;
  filter: EventFilter;
  database: ConnectionParameters;
  /** Set when DATABASE_URL_FILE is: its password is read again for each connection, so that it can be rotated. */
  databaseUrlFile: string | undefined;
  /** Where a mirror without a cursor begins, given the present. */
  startAt: (now: Instant) => Instant;
  pollIntervalMs: number;
  rateLimit: { requests: number; perMs: number };
  pageSize: number;
  requestTimeoutMs: number;
  /** How many slices of history are read side by side. */
  catchUpConcurrency: number | "auto";
  /** Undefined: no sweeps. */
  sweep: { intervalMs: number; windowMs: number } | undefined;
  /** Undefined: no HTTP. */
  http: { host: string; port: number } | undefined;
  logLevel: string;
  /** Undefined: pretty on a terminal, JSON elsewhere. */
  logFormat: "json" | "pretty" | undefined;
  /** What looks like a mistake but need not be one. */
  warnings: readonly string[];
}

/** Every mistake in one report, each naming its variable; never a secret value. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";

  constructor(problems: readonly string[]) {
    const list = problems.map((problem) => `\n  ${problem}`).join("");
    const told = problems.length === 1 ? `a mistake: ${problems[0]}` : `${problems.length} mistakes:${list}`;
    super(`the configuration has ${told}`);
  }
}

export interface ConfigSources extends SecretSources {
  env: Readonly<Record<string, string | undefined>>;
  now: Instant;
  /** The event types that this version has heard of. */
  knownEvents: readonly string[];
}

/** Reads the whole configuration, or throws a ConfigError that lists every mistake. */
export function parseConfig(sources: ConfigSources): Config {
  const env = Object.fromEntries(Object.entries(sources.env).filter(([, value]) => value?.trim()));
  const parsed = schemaFor(sources).safeParse(env);
  const secrets = readSecrets(env, sources);
  const connection = secrets.database && readConnection({ ...secrets.database, env, readFile: sources.readFile });
  const problems = [
    ...secrets.problems,
    ...(connection?.problems ?? []),
    ...(parsed.error?.issues.map((issue) => `${issue.path.join(".")} ${issue.message}`) ?? []),
  ];
  if (!parsed.success || connection?.parameters === undefined || problems.length > 0) throw new ConfigError(problems);
  const { data } = parsed;
  return {
    apiKey: secrets.apiKey,
    baseUrl: `${data.WORKOS_BASE_URL.origin}${data.WORKOS_BASE_URL.pathname}`.replace(/\/+$/, ""),
    environment: data.WORKOS_ENVIRONMENT,
    filter: {
      ...(data.WORKOS_EVENTS === undefined ? {} : { events: data.WORKOS_EVENTS }),
      ...(data.WORKOS_ORGANIZATION_ID === undefined ? {} : { organizationId: data.WORKOS_ORGANIZATION_ID }),
    },
    database: connection.parameters,
    databaseUrlFile: env.DATABASE_URL_FILE,
    startAt: data.SYNC_SINCE,
    pollIntervalMs: data.POLL_INTERVAL,
    rateLimit: data.RATE_LIMIT,
    pageSize: data.PAGE_SIZE,
    requestTimeoutMs: data.REQUEST_TIMEOUT,
    catchUpConcurrency: data.CATCH_UP_CONCURRENCY,
    sweep: data.SWEEP_INTERVAL === "off" ? undefined : { intervalMs: data.SWEEP_INTERVAL, windowMs: data.SWEEP_WINDOW },
    http: data.HTTP_PORT === "off" ? undefined : { host: data.HTTP_HOST, port: data.HTTP_PORT },
    logLevel: data.LOG_LEVEL,
    logFormat: data.LOG_FORMAT,
    warnings: [
      ...findTypos(Object.keys(env)),
      ...connection.warnings,
      ...(data.WORKOS_EVENTS ?? [])
        .filter((event) => !sources.knownEvents.includes(event))
        .map((event) => `WORKOS_EVENTS names ${event}, which this version has not heard of: a new type, or a typo?`),
    ],
  };
}

const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;

function schemaFor({ env, now }: ConfigSources) {
  return z.object({
    WORKOS_BASE_URL: z
      .string()
      .default("https://api.workos.com")
      .transform(toUrl(env.WORKOS_ALLOW_HTTP === "true")),
    WORKOS_ALLOW_HTTP: z.enum(["true", "false"], "must be true or false").default("false"),
    WORKOS_ENVIRONMENT: z
      .string()
      .regex(/^[^\p{Cc}\p{Cs}]{1,100}$/u, "must be a label of at most 100 printable characters")
      .default("default"),
    WORKOS_EVENTS: z.string().transform(toEvents).optional(),
    WORKOS_ORGANIZATION_ID: z
      .string()
      .regex(/^[\w-]{1,255}$/, "must be one organization id, such as org_01EZTR6WYX1A0DSE2CYMGXQ24Y")
      .optional(),
    SYNC_SINCE: z.string().default("90d").transform(toStart(now)),
    POLL_INTERVAL: durationBetween("100ms", "1d", "1s"),
    RATE_LIMIT: z.string().default("100/10s").transform(toRateLimit),
    PAGE_SIZE: wholeNumber(1, 100).default(100),
    REQUEST_TIMEOUT: durationBetween("1s", "10m", "30s"),
    CATCH_UP_CONCURRENCY: z
      .string()
      .regex(/^(auto|[1-9]|[1-4]\d|50)$/, "must be auto or a whole number between 1 and 50")
      .default("auto")
      .transform((text) => (text === "auto" ? text : Number(text))),
    SWEEP_INTERVAL: z
      .union(
        [z.literal("off"), durationBetween("1s", "1d", "10m")],
        "must be off or a duration between 1s and 1d, such as 10m",
      )
      .default(600_000),
    SWEEP_WINDOW: durationBetween("1s", "30d", "15m"),
    HTTP_HOST: z.string().default("0.0.0.0"),
    HTTP_PORT: z.union([z.literal("off"), wholeNumber(0, 65_535)], "must be a port number or off").default(8080),
    LOG_LEVEL: z.enum(LOG_LEVELS, `must be one of ${LOG_LEVELS.join(", ")}`).default("info"),
    LOG_FORMAT: z.enum(["json", "pretty"], "must be json or pretty").optional(),
  });
}

/** Milliseconds of `10s`, `1.5h`, `90d`. A bare number has no unit, and no default fits all readers. */
function durationMs(text: string): number | undefined {
  return isDuration(text) ? ms(text) : undefined;
}

function isDuration(text: string): text is ms.StringValue {
  return /^\d+(\.\d+)?\s?(ms|s|sec|m|min|h|d|w|seconds?|minutes?|hours?|days?|weeks?)$/i.test(text.trim());
}

/** An instant, a date, or a duration before `now`. */
export function parseSince(text: string, now: Instant): Instant | undefined {
  const before = durationMs(text);
  if (before !== undefined) return before < 1e13 ? addMs(now, -before) : undefined;
  return parseInstant(/^\d{4}-\d{2}-\d{2}$/.test(text) ? `${text}T00:00` : text);
}

type Context = z.core.$RefinementCtx;

function refuse(context: Context, message: string): never {
  context.addIssue(message);
  return z.NEVER;
}

function durationBetween(shortest: ms.StringValue, longest: ms.StringValue, fallback: ms.StringValue) {
  return z
    .string()
    .default(fallback)
    .transform((text, context) => {
      const value = durationMs(text);
      if (value !== undefined && value >= ms(shortest) && value <= ms(longest)) return value;
      return refuse(context, `must be a duration between ${shortest} and ${longest}, such as ${fallback}`);
    });
}

function wholeNumber(least: number, most: number) {
  const message = `must be a whole number between ${least} and ${most}`;
  return z
    .string()
    .regex(/^\d{1,9}$/, message)
    .transform(Number)
    .refine((value) => value >= least && value <= most, message);
}

function toStart(now: Instant) {
  return (text: string, context: Context) => {
    const start = parseSince(text, now);
    if (start === undefined)
      return refuse(context, "must be ISO 8601 or a duration, such as 2026-01-31T00:00:00Z or 90d");
    if (start > now) return refuse(context, "lies in the future: nothing would be mirrored until then");
    return (present: Instant) => parseSince(text, present) ?? start;
  };
}

function toRateLimit(text: string, context: Context): { requests: number; perMs: number } {
  const [, count = "", per = ""] = /^(\d{1,6})\s?\/\s?(.+)$/.exec(text) ?? [];
  const perMs = durationMs(per);
  if (Number(count) >= 1 && perMs !== undefined && perMs >= 1000 && perMs <= 3_600_000) {
    return { requests: Number(count), perMs };
  }
  return refuse(context, "must be requests/duration, such as 100/10s, with a duration between 1s and 1h");
}

function toEvents(text: string, context: Context): string[] {
  const names = text.split(",").map((name) => name.trim());
  const wrong = names.filter((name) => !/^[\w-]+(\.[\w-]+)*$/.test(name));
  if (wrong.length === 0) return [...new Set(names)].sort();
  const named = wrong.map((name) => JSON.stringify(name)).join(", ");
  return refuse(context, `must be event types separated by commas, such as user.created,user.updated; not ${named}`);
}

function toUrl(allowHttp: boolean) {
  return (text: string, context: Context): URL => {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (url === undefined || !/^https?:$/.test(url.protocol)) {
      return refuse(context, "must be a URL such as https://api.workos.com");
    }
    const loopback = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(url.hostname);
    if (url.protocol === "http:" && !loopback && !allowHttp) {
      return refuse(
        context,
        "must be https, or the API key crosses the network readable (WORKOS_ALLOW_HTTP=true allows it)",
      );
    }
    if (url.username || url.password || url.search || url.hash) {
      return refuse(context, "must hold no user, password, query or fragment");
    }
    return url;
  };
}
