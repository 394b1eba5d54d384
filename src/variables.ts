import { closestMatch } from "leven";
import { CONNECTION_VARIABLES } from "./connection-parameters.ts";

/** Every environment variable that the program reads, but for those that libpq has: CONNECTION_VARIABLES. */
export const VARIABLES = [
  "WORKOS_API_KEY",
  "WORKOS_API_KEY_FILE",
  "WORKOS_BASE_URL",
  "WORKOS_ALLOW_HTTP",
  "WORKOS_ENVIRONMENT",
  "WORKOS_EVENTS",
  "WORKOS_ORGANIZATION_ID",
  "DATABASE_URL",
  "DATABASE_URL_FILE",
  "SYNC_SINCE",
  "POLL_INTERVAL",
  "RATE_LIMIT",
  "PAGE_SIZE",
  "REQUEST_TIMEOUT",
  "CATCH_UP_CONCURRENCY",
  "SWEEP_INTERVAL",
  "SWEEP_WINDOW",
  "HTTP_HOST",
  "HTTP_PORT",
  "LOG_LEVEL",
  "LOG_FORMAT",
] as const;

/** Others use these names, too: close to ours, and no typo. */
const NEIGHBOURS = new Set(["HTTP_PROXY", "WORKOS_BASE_URI"]);

/** A sentence for each name that is not ours but looks as if it should be: a typo must not become a default. */
export function findTypos(names: readonly string[]): string[] {
  return names.flatMap((name) => {
    const known = name.toUpperCase().startsWith("PG") ? CONNECTION_VARIABLES : VARIABLES;
    if (known.some((variable) => variable === name) || NEIGHBOURS.has(name)) return [];
    const maxDistance = name.startsWith("WORKOS_") ? 3 : 2;
    const meant = closestMatch(name.toUpperCase(), known, { maxDistance });
    return meant === undefined ? [] : [`${name} is not read by this program: did you mean ${meant}?`];
  });
}
