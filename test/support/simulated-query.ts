/** What the API is like; all of it may change while it runs. */
export interface ApiRules {
  /** The API's clock in milliseconds; its Date header shows it too. */
  now: () => number;
  /** Events younger than this are not listed in ascending reads. */
  holdBackMs: number;
  /** How much time one answer may span; null: any. */
  windowDays: number | null;
  /** Where that time begins for a cursor without a range: at the cursor's event, or so long before the present. */
  cursorWindow: "cursor" | "present";
  /** How long events are kept; null: for ever. */
  retentionDays: number | null;
  /** `ignores`: lists oldest first whatever was asked for. */
  order: "honours" | "ignores";
  /** `ignore`: an unknown cursor counts as none, so that the answer begins at the beginning. */
  unknownCursor: "reject" | "ignore";
  /** What a range_start older than the retention gets: the oldest kept, or 422. */
  staleStart: "oldest" | "refuse";
  filterRequired: boolean;
  /** The names that a filter may hold; null: any. */
  knownTypes: readonly string[] | null;
}

export interface Query {
  limit: number;
  order: "asc" | "desc" | "normal";
  after: string | null;
  before: string | null;
  rangeStart: number | null;
  rangeEnd: number | null;
  types: ReadonlySet<string> | null;
  organizationId: string | null;
}

/** An answer that is an error of the caller. */
export class Refusal extends Error {
  readonly status: number;
  readonly body: string;

  constructor(status: number, body: Record<string, unknown>) {
    super(`${status} ${JSON.stringify(body)}`);
    this.status = status;
    this.body = JSON.stringify(body);
  }

  static field(field: string, code: string): Refusal {
    return new Refusal(422, { message: "Validation failed", errors: [{ field, code }] });
  }
}

export function parseQuery(parameters: URLSearchParams, rules: ApiRules): Query {
  const query: Query = {
    limit: parseLimit(parameters.get("limit")),
    order: parseOrder(parameters.get("order")),
    after: parameters.get("after"),
    before: parameters.get("before"),
    rangeStart: parseTime(parameters, "range_start"),
    rangeEnd: parseTime(parameters, "range_end"),
    types: parseTypes(parameters, rules),
    organizationId: parameters.get("organization_id"),
  };
  if (query.after !== null && query.rangeStart !== null) throw Refusal.field("range_start", "not_allowed_with_after");
  return rules.order === "ignores" ? { ...query, order: "asc" } : query;
}

function parseLimit(text: string | null): number {
  if (text === null) return 10;
  const limit = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (limit >= 1 && limit <= 100) return limit;
  throw Refusal.field("limit", "must_be_between_1_and_100");
}

function parseOrder(text: string | null): Query["order"] {
  if (text === null) return "desc";
  if (text === "asc" || text === "desc" || text === "normal") return text;
  throw Refusal.field("order", "must_be_asc_desc_or_normal");
}

const isoDate = /^(\d{4}-\d{2}-\d{2})(?:T(\d{2}:\d{2}(?::\d{2})?)(?:\.(\d{1,9}))?(Z|[+-]\d{2}:\d{2})?)?$/;

function parseTime(parameters: URLSearchParams, field: string): number | null {
  const text = parameters.get(field);
  if (text === null) return null;
  const [whole, day, time = "00:00", fraction = "", zone = "Z"] = isoDate.exec(text) ?? [];
  const seconds = whole === undefined ? Number.NaN : Date.parse(`${day}T${time}${zone}`);
  if (Number.isNaN(seconds)) throw Refusal.field(field, "must_be_iso_8601");
  const digits = fraction.padEnd(6, "0");
  return seconds + Number(digits.slice(0, 3)) + Number(digits.slice(3, 6)) / 1000;
}

/** `events[]=a&events[]=b`, `events=a&events=b` and `events=a,b` mean the same. */
function parseTypes(parameters: URLSearchParams, rules: ApiRules): ReadonlySet<string> | null {
  const names = [...parameters.getAll("events[]"), ...parameters.getAll("events").flatMap((list) => list.split(","))];
  const types = new Set(names.filter((name) => name !== ""));
  if (types.size === 0 && rules.filterRequired) throw Refusal.field("events", "required");
  for (const name of types) {
    if (rules.knownTypes !== null && !rules.knownTypes.includes(name)) throw unknownType(name);
  }
  return types.size === 0 ? null : types;
}

function unknownType(name: string): Refusal {
  return new Refusal(400, {
    message: `Invalid name parameter, received: '${name}'. You must pass in valid event names`,
    code: "invalid_events_request",
  });
}
