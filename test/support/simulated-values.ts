import { attributes } from "./simulated-attributes.ts";
import type { Entity, Moment, SimulatedWorld } from "./simulated-world.ts";

/** Makes the JSON text of one field of an object or a record. */
export type ValueMaker = (world: SimulatedWorld, of: Entity, moment: Moment) => string;

/** Nobody real: invented names, addresses below example.com. */
export interface Person {
  firstName: string;
  lastName: string;
  address: string;
}

const firstNames = [
  "Veda",
  "Zoë",
  "José",
  "Ada",
  "Noor",
  "小明",
  "Мария",
  "E\u0301lodie",
  "Sam",
  "Ulla",
  "Kofi",
  "Finn",
] as const;
const lastNames = ["Torp", "O'Neil", "Sample", "Fictional", "Müller", "Placeholder", "Example", "Nobody"] as const;
const companies = ["Acme", "Globex", "Initech", "Umbrella", "Hooli", "Soylent", "Wonka", "Stark", "例の会社"] as const;
const words = [
  "Billing",
  "Export",
  "Reports",
  "Design",
  "Platform",
  "Audit",
  "Search",
  "Invoices",
  "Onboarding",
] as const;
export const slugs = ["member", "admin", "owner", "viewer", "editor", "billing-manager"] as const;
export const permissions = ["users:read", "users:write", "billing:manage", "reports:read", "settings:write"] as const;
export const providers = ["github", "slack", "google", "notion", "salesforce"] as const;
export const userAgents = [
  "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15",
  "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
  "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
  "curl/8.15.0",
] as const;

export const always =
  (json: string): ValueMaker =>
  () =>
    json;

export const now: ValueMaker = (_world, _of, moment) => moment.at;

export const oneOf =
  (...choices: readonly [string, ...string[]]): ValueMaker =>
  ({ random }) =>
    `"${random.pick(choices)}"`;

export const later =
  (hours: number): ValueMaker =>
  (_world, _of, { timeMs }) =>
    `"${new Date(Math.floor(timeMs) + hours * 3_600_000).toISOString()}"`;

export const unknownId =
  (prefix: string): ValueMaker =>
  ({ random }) =>
    `"${prefix}_01${random.characters(24)}"`;

export const someId =
  (kind: string): ValueMaker =>
  (world, _of, moment) =>
    `"${world.pick(kind, moment).id}"`;

/** An object that is named by its id only; a record that says that it ended, ends it. */
export const aboutId =
  (kind: string): ValueMaker =>
  (world, of, moment) => {
    of.about = world.pick(kind, moment);
    return `"${of.about.id}"`;
  };

export const idOf = (entity: Entity | null): string => (entity === null ? "null" : `"${entity.id}"`);

export const attributesOf: ValueMaker = ({ random }) => attributes(random);

export const truth =
  (probability: number): ValueMaker =>
  ({ random }) =>
    String(random.chance(probability));

export function personOf(world: SimulatedWorld, of: Entity): Person {
  if (of.person !== null) return of.person;
  const firstName = world.random.pick(firstNames);
  const lastName = world.random.pick(lastNames);
  of.person = { firstName, lastName, address: `user-${world.serial()}@example.com` };
  return of.person;
}

export const addressOf = (world: SimulatedWorld, of: Entity): string => personOf(world, of.user ?? of).address;

export const personName: ValueMaker = (world, of) => {
  const { firstName, lastName } = personOf(world, of);
  return `"${firstName} ${lastName}"`;
};

export const companyName: ValueMaker = (world) => `"${world.random.pick(companies)} ${world.serial()}"`;

export const wordName: ValueMaker = (world) => `"${world.random.pick(words)} ${world.serial()}"`;

export const domainName: ValueMaker = (world) => `"customer-${world.serial()}.example.com"`;

export const domainsOf: ValueMaker = (world, of, moment) => {
  const organizationId = idOf(of.kind === "organization" ? of : of.organization);
  const id = unknownId("org_domain")(world, of, moment);
  const domain = domainName(world, of, moment);
  return `[{"object":"organization_domain","id":${id},"organization_id":${organizationId},"domain":${domain},"state":"verified"}]`;
};

/** `authentication.magic_auth_failed` was made with `magic_auth`. */
export const methodOfType: ValueMaker = (_world, _of, { type }) =>
  `"${type.slice(type.indexOf(".") + 1).replace(/_(failed|succeeded|started|timed_out)$/, "")}"`;

export const outcomeOfType: ValueMaker = (_world, _of, { type }) =>
  `"${/_(failed|started|timed_out)$/.exec(type)?.[1] ?? "succeeded"}"`;

/** The object as `data` of an event shows it; `previous` is what the event has changed. */
export function renderObject(
  of: Entity,
  fields: readonly string[] = Object.keys(of.fields),
  previous: string = "{}",
): string {
  let text = "";
  for (const field of fields) {
    const value = field === "previous_attributes" ? previous : (of.fields[field] ?? "null");
    text += `${text === "" ? "{" : ","}"${field}":${value}`;
  }
  return `${text}}`;
}

export const renderMember =
  (place: number): ValueMaker =>
  (_world, of) => {
    const member = of.members[place];
    return member === undefined ? "null" : renderObject(member);
  };

export const renderSome =
  (kind: string): ValueMaker =>
  (world, of, moment) => {
    of.about = world.pick(kind, moment);
    return renderObject(of.about);
  };

export const owner: ValueMaker = (world, _of, moment) =>
  `{"type":"organization","id":"${world.pick("organization", moment).id}"}`;
