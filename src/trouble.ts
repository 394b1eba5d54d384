import type { Instant } from "./instant.ts";

/**
 * passing: the same request may succeed later (network, 429, 5xx, Postgres restarting): retried with backoff, for ever.
 * refused: no quick retry can help (a wrong key, a missing privilege): told with what to do, asked again once a minute.
 * fatal: going on would do harm (a migration failed): the program ends.
 */
export type TroubleKind = "passing" | "refused" | "fatal";

export interface TroubleDetails {
  kind: TroubleKind;
  /** A stable name for logs and metrics, such as `api_unauthorized`. */
  code: string;
  /** What the operator can do, as a sentence. */
  hint?: string;
  /** The API asked not to be called again before this many milliseconds have passed; a refusal is then asked again. */
  retryAfterMs?: number;
  /** HTTP status of the answer, when there was one. */
  status?: number;
  requestId?: string;
  /** The API's clock when it answered. */
  apiTime?: Instant;
  /** What exactly was refused, for code that can go on without it: an event type, say. */
  subject?: string;
  cause?: unknown;
}

/** Everything that can go wrong outside the program, as a sentence that an operator can act on. Holds no secret. */
export class Trouble extends Error {
  override readonly name = "Trouble";
  readonly kind: TroubleKind;
  readonly code: string;
  readonly hint: string | undefined;
  readonly retryAfterMs: number;
  readonly status: number | undefined;
  readonly requestId: string | undefined;
  readonly apiTime: Instant | undefined;
  readonly subject: string | undefined;

  constructor(message: string, details: TroubleDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.kind = details.kind;
    this.code = details.code;
    this.hint = details.hint;
    this.retryAfterMs = details.retryAfterMs ?? 0;
    this.status = details.status;
    this.requestId = details.requestId;
    this.apiTime = details.apiTime;
    this.subject = details.subject;
  }
}

/** The message of anything thrown, with the messages of its causes. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const inner =
    error instanceof AggregateError && error.errors.length > 0 ? error.errors[0] : (error.cause ?? undefined);
  const own = error.message || error.name;
  if (inner === undefined || error instanceof Trouble) return own;
  const below = messageOf(inner);
  return own.includes(below) ? own : `${own}: ${below}`;
}
