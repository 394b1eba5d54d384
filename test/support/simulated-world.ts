import { type CatalogueEntry, simulatedCatalogue } from "./simulated-catalogue.ts";
import { valueMaker } from "./simulated-fields.ts";
import { newId, type SeededRandom } from "./simulated-random.ts";
import type { Person, ValueMaker } from "./simulated-values.ts";

const hourMs = 3_600_000;
/** Of each kind, so that a million events need no more memory for the world than a few thousand. */
const maximumOfAKind = 2_000;
/** How many there were before the log began, at least. */
const older: Record<string, number> = {
  organization: 12,
  directory: 8,
  user: 60,
  directory_user: 60,
  directory_group: 15,
};

/** Something that lives in the simulated WorkOS, or a record of what happened to it. Fields are pieces of JSON text. */
export interface Entity {
  kind: string;
  id: string;
  organization: Entity | null;
  user: Entity | null;
  directory: Entity | null;
  /** Of a group, directory or organization: who is in it. Of a record about a group: the group, then the user. */
  members: Entity[];
  /** Of a record: the object that it names by its id only. */
  about: Entity | null;
  person: Person | null;
  gone: boolean;
  fields: Record<string, string>;
}

/** What is happening, and when. `at` is the time as a JSON string. */
export interface Moment {
  type: string;
  timeMs: number;
  at: string;
}

/** How an object or a record comes to be: what it hangs on, and the makers of its fields. */
interface Plan {
  kind: string;
  ofGroup: boolean;
  ofDirectory: boolean;
  ofUser: boolean;
  /** The chance that it belongs to an organization. */
  ofOrganization: number;
  makers: readonly (readonly [field: string, make: ValueMaker])[];
}

const idPrefixes: Record<string, string> = {
  organization: "org",
  connection: "conn",
  organization_membership: "om",
  organization_domain: "org_domain",
};

function planOf(kind: string, valuesOf: string, fields: readonly string[]): Plan {
  const has = (field: string) => fields.includes(field);
  return {
    kind,
    ofGroup: has("group"),
    ofDirectory: has("directory_id") && !has("group"),
    ofUser: has("user_id"),
    ofOrganization: has("organization_id") ? (kind === "session" ? 0.7 : 1) : has("sso") ? 1 : 0,
    makers: fields.map((field) => [field, valueMaker(valuesOf, field)]),
  };
}

function planOfObject(kind: string): Plan {
  const fields = simulatedCatalogue.flatMap((entry) => (entry.object === kind ? entry.fields : []));
  return planOf(
    kind,
    kind,
    [...new Set(fields)].filter((field) => field !== "previous_attributes"),
  );
}

const plans = new Map<string, Plan>();
for (const { type, object, fields } of simulatedCatalogue) {
  if (object === null) plans.set(type, planOf(type, type.slice(0, type.indexOf(".")), fields));
  else if (!plans.has(object)) plans.set(object, planOfObject(object));
}

function planFor(name: string): Plan {
  const plan = plans.get(name);
  if (plan === undefined) throw new Error(`The simulated world knows no ${name}.`);
  return plan;
}

/** The objects that exist at one moment. What an event needs and is not there yet is older than the log. */
export class SimulatedWorld {
  readonly random: SeededRandom;
  private readonly kinds = new Map<string, Entity[]>();
  private readonly missing = new Map(Object.entries(older));
  private lastSerial = 0;

  constructor(random: SeededRandom) {
    this.random = random;
  }

  /** A number that no other caller got, for names and addresses. */
  serial(): number {
    this.lastSerial += 1;
    return this.lastSerial;
  }

  /** An object of this kind that exists, any one. */
  pick(kind: string, moment: Moment): Entity {
    const missing = this.missing.get(kind) ?? 0;
    if (missing > 0 && this.random.chance(0.3)) {
      this.missing.set(kind, missing - 1);
      return this.beginEarlier(kind, moment);
    }
    return this.living(this.ofKind(kind)) ?? this.beginEarlier(kind, moment);
  }

  /** A new object of this kind; `within` is its directory or organization where it must be a certain one. */
  begin(kind: string, moment: Moment, within?: Entity): Entity {
    const entity = this.make(planFor(kind), moment, within);
    this.add(this.ofKind(kind), entity, maximumOfAKind);
    if (kind === "directory_user" && entity.directory !== null) this.add(entity.directory.members, entity, 200);
    if (kind === "organization_membership" && entity.organization !== null) {
      this.add(entity.organization.members, entity, 200);
    }
    return entity;
  }

  /** A record of what happened: it is told once and belongs to no kind. */
  record(entry: CatalogueEntry, moment: Moment): Entity {
    return this.make(planFor(entry.type), moment);
  }

  /** Someone who is in the group after this moment, or was before it. */
  member(group: Entity, kind: string, moment: Moment): Entity {
    const leaving = moment.type.endsWith("removed") ? group.members.pop() : undefined;
    if (leaving !== undefined) return leaving;
    const owner = group.directory ?? group.organization ?? this.pick("organization", moment);
    const member = this.living(owner.members) ?? this.beginEarlier(kind, moment, owner);
    if (moment.type.endsWith("added")) group.members.push(member);
    return member;
  }

  private make(plan: Plan, moment: Moment, within?: Entity): Entity {
    const id = newId(idPrefixes[plan.kind] ?? plan.kind, moment.timeMs, this.random);
    const entity: Entity = { kind: plan.kind, id, ...unbound, members: [], fields: {} };
    if (plan.ofGroup) this.linkGroup(entity, moment);
    if (plan.ofDirectory) entity.directory = within ?? this.pick("directory", moment);
    if (plan.ofUser) entity.user = this.pick("user", moment);
    if (entity.directory !== null) entity.organization = entity.directory.organization;
    else if (this.random.chance(plan.ofOrganization)) entity.organization = within ?? this.pick("organization", moment);
    for (const [field, make] of plan.makers) entity.fields[field] = make(this, entity, moment);
    return entity;
  }

  private linkGroup(entity: Entity, moment: Moment): void {
    const group = this.pick("directory_group", moment);
    entity.directory = group.directory;
    entity.members = [group, this.member(group, "directory_user", moment)];
  }

  /** Long enough ago that the API has forgotten its `created` event. */
  private beginEarlier(kind: string, moment: Moment, within?: Entity): Entity {
    const timeMs =
      Math.floor(moment.timeMs) - (2_400 + this.random.integer(9_000)) * hourMs - this.random.integer(hourMs);
    return this.begin(kind, { ...moment, timeMs, at: `"${new Date(timeMs).toISOString()}"` }, within);
  }

  private ofKind(kind: string): Entity[] {
    const known = this.kinds.get(kind);
    if (known !== undefined) return known;
    const none: Entity[] = [];
    this.kinds.set(kind, none);
    return none;
  }

  private living(candidates: Entity[]): Entity | undefined {
    while (candidates.length > 0) {
      const place = this.random.integer(candidates.length);
      const candidate = candidates[place];
      if (candidate !== undefined && !isGone(candidate)) return candidate;
      forget(candidates, place);
    }
    return undefined;
  }

  private add(entities: Entity[], entity: Entity, maximum: number): void {
    if (entities.length >= maximum) forget(entities, this.random.integer(entities.length));
    entities.push(entity);
  }
}

const unbound = { organization: null, user: null, directory: null, about: null, person: null, gone: false };

/** Whoever deletes a directory deletes its users and groups with it, without a word; likewise the others. */
function isGone(entity: Entity): boolean {
  if (entity.gone || entity.user?.gone === true || entity.organization?.gone === true) return true;
  return entity.directory !== null && isGone(entity.directory);
}

function forget(entities: Entity[], place: number): void {
  const last = entities.pop();
  if (last !== undefined && place < entities.length) entities[place] = last;
}
