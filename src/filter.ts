import type { EventFilter } from "./event.ts";
import type { News } from "./news.ts";
import type { Trouble } from "./trouble.ts";

/** How often a type that the API rejected is tried again. */
const TRY_AGAIN_MS = 3_600_000;

/**
 * The filter as this account's API takes it: the configured one, the whole catalogue where the API wants it spelled
 * out, and always without the types that it rejects. Since the filter is part of the cursor's key, a type that is
 * accepted again later gets the history that was missed.
 */
export class EffectiveFilter {
  readonly #configured: EventFilter;
  readonly #catalogue: readonly string[];
  readonly #rejected = new Set<string>();
  #spelledOut = false;
  #tryAgainAt = Number.POSITIVE_INFINITY;
  #tryingAgain: readonly string[] = [];

  constructor(configured: EventFilter, catalogue: readonly string[]) {
    this.#configured = configured;
    this.#catalogue = catalogue;
  }

  get current(): EventFilter {
    const events = this.#configured.events ?? (this.#spelledOut ? this.#catalogue : undefined);
    return {
      ...this.#configured,
      ...(events === undefined ? {} : { events: events.filter((type) => !this.#rejected.has(type)) }),
    };
  }

  /** Takes a refusal of the filter into account; undefined when the trouble is another, or nothing would be left. */
  adapt(trouble: Trouble, nowMs: number): News | undefined {
    const events = this.current.events;
    if (trouble.code === "filter_required" && events === undefined) {
      this.#spelledOut = true;
      const message = "this account's API wants the event types spelled out: asking for all that are known";
      return { level: "warn", code: "filter_required", message, fields: { types: this.#catalogue.length } };
    }
    const type = trouble.code === "event_type_rejected" ? trouble.subject : undefined;
    if (type === undefined || events === undefined || !events.includes(type) || events.length === 1) return undefined;
    this.#rejected.add(type);
    this.#tryAgainAt = nowMs + TRY_AGAIN_MS;
    const message = "the API rejects an event type: mirroring all the others, trying it again in an hour";
    return { level: "warn", code: "event_type_rejected", message, fields: { types: [type] } };
  }

  /** Once an hour, asks for the rejected types as well; true when the filter has changed by that. */
  tryAgain(nowMs: number): boolean {
    if (nowMs < this.#tryAgainAt) return false;
    this.#tryingAgain = [...this.#rejected];
    this.#rejected.clear();
    this.#tryAgainAt = Number.POSITIVE_INFINITY;
    return true;
  }

  /** To be told of every page: the types that were tried again and came through. */
  accepted(): News | undefined {
    const types = this.#tryingAgain.filter((type) => !this.#rejected.has(type));
    this.#tryingAgain = [];
    const message = "the API accepts event types that it had rejected: mirroring them with their history";
    return types.length === 0 ? undefined : { level: "info", code: "event_type_accepted", message, fields: { types } };
  }
}
