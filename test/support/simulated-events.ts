import { attributes } from "./simulated-attributes.ts";
import { type CatalogueEntry, simulatedCatalogue } from "./simulated-catalogue.ts";
import { changesOf, outcomes } from "./simulated-fields.ts";
import { newId, SeededRandom } from "./simulated-random.ts";
import { renderObject, type ValueMaker } from "./simulated-values.ts";
import { type Entity, type Moment, SimulatedWorld } from "./simulated-world.ts";

/** One element of the API's list. `text` is the truth: the exact JSON that the API sends for it. */
export interface SimulatedEvent {
  id: string;
  /** The event's type. */
  event: string;
  /** As sent: mostly with milliseconds, at times with microseconds, rarely without T and Z. */
  createdAt: string;
  /** The same as milliseconds since the epoch; microseconds are its fraction. */
  timeMs: number;
  /** The organization that `data` itself names: `organization_id`, or `id` in `organization.*`. */
  organizationId: string | null;
  text: string;
}

export interface History {
  count: number;
  /** Milliseconds since the epoch. */
  from: number;
  /** Milliseconds since the epoch, exclusive. */
  to: number;
}

/** The same seed and times give the same events, ascending by time. */
export function generateEvents({ seed = 1, ...history }: History & { seed?: number }): SimulatedEvent[] {
  return new EventGenerator(seed).history(history);
}

interface Script {
  entry: CatalogueEntry;
  changes: readonly (readonly [field: string, make: ValueMaker])[];
  outcome: readonly (readonly [field: string, make: ValueMaker])[];
}

const scripts: readonly Script[] = simulatedCatalogue.map((entry) => ({
  entry,
  changes: entry.fate === "changes" && entry.object !== null ? changesOf(entry.object, entry.fields) : [],
  outcome: Object.entries(outcomes[entry.type] ?? {}),
}));
const byWeight = scripts.flatMap((script) => Array<Script>(script.entry.weight).fill(script));

/** A world in which things happen, one event at a time. */
export class EventGenerator {
  private readonly random: SeededRandom;
  private readonly world: SimulatedWorld;
  private readonly untold: Script[];
  private lastMs = -1;
  private lastMicros = 0;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    this.world = new SimulatedWorld(this.random);
    this.untold = scripts
      .map((script) => ({ script, place: this.random.fraction() }))
      .sort((one, other) => one.place - other.place)
      .map(({ script }) => script);
  }

  /** Events spread over a time, some of them within the same millisecond. */
  history({ count, from, to }: History): SimulatedEvent[] {
    const events: SimulatedEvent[] = [];
    let timeMs = from;
    for (let place = 0; place < count; place += 1) {
      const slot = (place + this.random.fraction()) / count;
      if (place === 0 || !this.random.chance(0.06)) timeMs = Math.floor(from + (to - from) * slot);
      events.push(this.next(timeMs));
    }
    return events;
  }

  next(timeMs: number): SimulatedEvent {
    const micros = this.microsAt(timeMs);
    const milliseconds = new Date(timeMs).toISOString();
    const { entry, changes, outcome } = this.nextScript();
    const moment: Moment = { type: entry.type, timeMs, at: `"${milliseconds}"` };
    const subject = this.subjectOf(entry, moment);
    const previous = this.change(subject, changes, moment);
    for (const [field, make] of outcome) subject.fields[field] = make(this.world, subject, moment);
    const id = newId("event", timeMs, this.random);
    const createdAt = this.spell(milliseconds, micros);
    const data = renderObject(subject, entry.fields, previous);
    return {
      id,
      event: entry.type,
      createdAt,
      timeMs: timeMs + micros / 1000,
      organizationId: organizationOf(subject, entry),
      // One flat string, as in newId.
      text: [
        '{"object":"event","id":"',
        id,
        '","event":"',
        entry.type,
        '","data":',
        data,
        this.envelope(createdAt),
      ].join(""),
    };
  }

  /** Every type once among the first few hundred events, then as often as its weight says. */
  private nextScript(): Script {
    const untold = this.random.chance(1 / 3) ? this.untold.pop() : undefined;
    const script = untold ?? byWeight[this.random.integer(byWeight.length)];
    if (script === undefined) throw new Error("The simulated catalogue is empty.");
    return script;
  }

  private subjectOf(entry: CatalogueEntry, moment: Moment): Entity {
    if (entry.object === null) {
      const record = this.world.record(entry, moment);
      if (entry.fate === "ends" && record.about !== null) record.about.gone = true;
      return record;
    }
    if (entry.fate === "begins") return this.world.begin(entry.object, moment);
    const subject = this.world.pick(entry.object, moment);
    subject.gone = entry.fate === "ends";
    if ("updated_at" in subject.fields) subject.fields.updated_at = moment.at;
    return subject;
  }

  /** Changes one or two fields and gives what they were. */
  private change(subject: Entity, changes: Script["changes"], moment: Moment): string {
    const previous: string[] = [];
    const first = this.random.integer(changes.length);
    for (const [field, make] of changes.slice(first, first + 1 + this.random.integer(2))) {
      previous.push(`"${field}":${subject.fields[field] ?? "null"}`);
      subject.fields[field] = make(this.world, subject, moment);
    }
    return `{${previous.join(",")}}`;
  }

  /** Within one millisecond the microseconds only grow, so that the list stays ascending. */
  private microsAt(timeMs: number): number {
    if (timeMs !== this.lastMs) {
      this.lastMs = timeMs;
      this.lastMicros = this.random.chance(0.05) ? 1 + this.random.integer(600) : 0;
    } else if (this.lastMicros > 0) {
      this.lastMicros = Math.min(999, this.lastMicros + this.random.integer(20));
    }
    return this.lastMicros;
  }

  private spell(milliseconds: string, micros: number): string {
    if (micros > 0) return `${milliseconds.slice(0, -1)}${String(micros).padStart(3, "0")}Z`;
    return this.random.chance(0.005) ? milliseconds.replace("T", " ").slice(0, -1) : milliseconds;
  }

  private envelope(createdAt: string): string {
    const kind = this.random.integer(100);
    const environment = kind < 2 ? ',"environment_id":"environment_01SAMPLE0000000000000000000"' : "";
    const time = `,"created_at":"${createdAt}"${environment}`;
    if (kind < 15) return `${time}}`;
    if (kind < 85) return `${time},"context":{}}`;
    if (kind < 98) return `${time},"context":{"client_id":"client_01${this.random.characters(24)}"}}`;
    return `${time},"context":${attributes(this.random)}}`;
  }
}

function organizationOf(subject: Entity, entry: CatalogueEntry): string | null {
  if (entry.object === "organization") return subject.id;
  return entry.fields.includes("organization_id") ? (subject.organization?.id ?? null) : null;
}
