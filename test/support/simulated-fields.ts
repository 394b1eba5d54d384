import {
  aboutId,
  addressOf,
  always,
  attributesOf,
  companyName,
  domainName,
  domainsOf,
  idOf,
  later,
  methodOfType,
  now,
  oneOf,
  outcomeOfType,
  owner,
  permissions,
  personName,
  personOf,
  providers,
  renderMember,
  renderSome,
  slugs,
  someId,
  truth,
  unknownId,
  userAgents,
  type ValueMaker,
  wordName,
} from "./simulated-values.ts";

const nothing = always("null");

/** By field, and by `<kind>.<field>` where a field means something else in that kind. */
const makers: Record<string, ValueMaker> = {
  id: (_world, of) => `"${of.id}"`,
  object: (_world, of) => `"${of.kind}"`,
  created_at: now,
  updated_at: now,
  completed_at: now,
  renewed_at: now,
  last_sign_in_at: now,
  expires_at: later(168),
  "api_key.expires_at": nothing,
  ended_at: nothing,
  accepted_at: nothing,
  approved_at: nothing,
  revoked_at: nothing,
  last_used_at: nothing,

  organization_id: (_world, of) => idOf(of.organization),
  directory_id: (_world, of) => idOf(of.directory),
  user_id: (_world, of) => idOf(of.user),
  accepted_user_id: nothing,
  inviter_user_id: someId("user"),
  from_organization_id: someId("organization"),
  to_organization_id: someId("organization"),
  organization_membership_id: (world, of, moment) => {
    of.about ??= world.pick("group", moment);
    return idOf(world.member(of.about, "organization_membership", moment));
  },
  group_id: aboutId("group"),
  agent_registration_id: aboutId("agent_registration"),
  agent_registration_claim_id: unknownId("agent_registration_claim"),
  completed_by_attempt_id: someId("agent_registration_claim_attempt"),
  action_endpoint_id: unknownId("action_endpoint"),
  action_execution_id: unknownId("action_execution"),
  data_integration_id: unknownId("data_integration"),
  environment_id: always('"environment_01SAMPLE0000000000000000000"'),
  radar_challenge_id: unknownId("radar_challenge"),
  waitlist_id: always('"waitlist_01SAMPLE0000000000000000000"'),
  external_id: ({ random }) => (random.chance(0.5) ? "null" : `"customer-${random.digits(6)}"`),
  external_key: unknownId("key"),
  stripe_customer_id: nothing,
  idp_id: ({ random }) => `"${random.digits(5)}"`,

  name: wordName,
  "user.name": personName,
  "directory_user.name": personName,
  "organization.name": companyName,
  "connection.name": companyName,
  "directory.name": companyName,
  first_name: (world, of) => `"${personOf(world, of).firstName}"`,
  last_name: (world, of) => `"${personOf(world, of).lastName}"`,
  email: (world, of) => `"${addressOf(world, of)}"`,
  username: (world, of) => `"${addressOf(world, of)}"`,
  login_hint: (world, of) => `"${addressOf(world, of)}"`,
  emails: (world, of) => `[{"primary":true,"type":"work","value":"${addressOf(world, of)}"}]`,
  email_verified: truth(0.8),
  job_title: oneOf("Engineer", "Accountant", "Head of Samples", "Tester", "Director"),
  locale: oneOf("en-US", "de-DE", "ja-JP", "fr-FR"),
  profile_picture_url: nothing,
  description: oneOf("Made for a simulation.", "Nothing here is real.", "Für Prüfungen \\u2013 nur zum Schein."),

  metadata: attributesOf,
  custom_attributes: attributesOf,
  raw_attributes: attributesOf,
  key_context: attributesOf,
  detail: attributesOf,
  agent_identity: attributesOf,

  role: ({ random }) => `{"slug":"${random.pick(slugs)}"}`,
  roles: ({ random }) => `[{"slug":"${random.pick(slugs)}"}]`,
  role_slug: oneOf(...slugs),
  slug: (world) => `"${world.random.pick(slugs)}-${world.serial()}"`,
  permissions: ({ random }) => `["${random.pick(permissions)}","${random.pick(permissions)}"]`,
  resource_type_slug: always('"organization"'),
  system: truth(0.1),
  directory_managed: truth(0.4),
  tags: ({ random }) => (random.chance(0.5) ? "[]" : '["beta","internal"]'),
  enabled: truth(0.7),
  default_value: truth(0.5),
  owner,
  obfuscated_value: ({ random }) => `"sk_…${random.characters(4)}"`,

  type: methodOfType,
  "directory.type": oneOf("okta scim v2.0", "azure scim v2.0", "gsuite directory", "generic scim v2.0"),
  "action.type": (_world, _of, { type }) => `"${type.split(".")[1]}"`,
  "radar.type": oneOf("email", "sms"),
  state: always('"active"'),
  "invitation.state": always('"pending"'),
  "organization_domain.state": always('"pending"'),
  "waitlist_user.state": always('"pending"'),
  "connected_account.state": always('"connected"'),
  status: always('"active"'),
  "connection.status": always('"linked"'),
  "authentication.status": outcomeOfType,
  verdict: always('"Deny"'),

  auth_method: oneOf("password", "sso", "magic_code", "oauth", "passkey"),
  impersonator: nothing,
  ip_address: ({ random }) =>
    random.chance(0.8) ? `"192.0.2.${random.integer(256)}"` : `"2001:db8::${random.integer(0xffff).toString(16)}"`,
  user_agent: oneOf(...userAgents),
  error: always('{"code":"invalid_credentials","message":"Credentials are \\"invalid\\"."}'),
  sso: (world, of, moment) =>
    `{"organization_id":${idOf(of.organization)},"connection_id":${unknownId("conn")(world, of, moment)},"session_id":null}`,
  action: oneOf("block", "challenge", "log"),
  control: oneOf("bot_detection", "brute_force_attack", "impossible_travel", "restriction"),
  blocklist_type: nothing,

  domain: domainName,
  domains: domainsOf,
  verification_prefix: ({ random }) => `"simulated-${random.digits(4)}"`,
  verification_strategy: oneOf("dns", "manual"),
  verification_token: ({ random }) => `"${random.characters(20)}"`,
  organization_domain: renderSome("organization_domain"),
  reason: always('"domain_verification_period_expired"'),
  connection_type: oneOf("OktaSAML", "AzureSAML", "GoogleOAuth", "GenericOIDC"),
  connection: renderSome("connection"),
  certificate: (world, of, moment) =>
    `{"certificate_type":"ResponseSigning","expiry_date":${later(720)(world, of, moment)}}`,
  days_until_expiry: ({ random }) => String(random.integer(60)),
  token_suffix: ({ random }) => `"${random.characters(4)}"`,
  group: renderMember(0),
  user: renderMember(1),

  actor_id: unknownId("key"),
  actor_name: wordName,
  actor_source: oneOf("api", "dashboard"),
  key_id: unknownId("kek"),
  key_ids: (world, of, moment) => `[${unknownId("kek")(world, of, moment)},${unknownId("kek")(world, of, moment)}]`,
  key_name: wordName,
  kv_name: (world) => `"secret-${world.serial()}"`,
  key_provider: oneOf("AWS_KMS", "GCP_KMS", "AZURE_KEY_VAULT"),
  verified: truth(0.9),

  kind: oneOf("autonomous", "assistant"),
  method: oneOf("claim", "token_exchange"),
  claimed_by: (world, _of, moment) => `{"type":"user","id":"${world.pick("user", moment).id}"}`,
  provider_slug: oneOf(...providers),
  scopes: always('["read","write"]'),
  error_code: always('"access_denied"'),
  error_reason: always('"The user denied the request."'),
  provider_error: always('"access_denied"'),
  provider_error_description: nothing,
};

export function valueMaker(kind: string, field: string): ValueMaker {
  const make = makers[`${kind}.${field}`] ?? makers[field];
  if (make === undefined) throw new Error(`The simulated world has no value for the field ${field} of ${kind}.`);
  return make;
}

/** What an event sets in its object beside what it is sent for. */
export const outcomes: Record<string, Record<string, ValueMaker>> = {
  "connection.deactivated": { state: always('"inactive"'), status: always('"unlinked"') },
  "connection.deleted": { state: always('"deleting"') },
  "dsync.deleted": { state: always('"deleting"') },
  "invitation.accepted": { state: always('"accepted"'), accepted_at: now, accepted_user_id: someId("user") },
  "invitation.revoked": { state: always('"revoked"'), revoked_at: now },
  "organization_domain.verified": { state: always('"verified"') },
  "pipes.connected_account.disconnected": { state: always('"disconnected"') },
  "pipes.connected_account.reauthorization_needed": { state: always('"needs_reauthorization"') },
  "session.revoked": { status: always('"revoked"'), ended_at: now },
  "waitlist_user.approved": { state: always('"approved"'), approved_at: now },
  "waitlist_user.denied": { state: always('"denied"') },
};

/** What `*.updated` may change. */
const changeable = new Set([
  "name",
  "job_title",
  "metadata",
  "custom_attributes",
  "raw_attributes",
  "permissions",
  "description",
  "email_verified",
  "last_sign_in_at",
  "last_used_at",
  "enabled",
  "role",
  "state",
]);

/** Most directories remove a person by making him inactive. */
const changes: Record<string, ValueMaker> = {
  "directory_user.state": ({ random }) => (random.chance(0.3) ? '"inactive"' : '"active"'),
  "api_key.last_used_at": now,
};

export function changesOf(kind: string, fields: readonly string[]): readonly (readonly [string, ValueMaker])[] {
  return fields
    .filter((field) => changeable.has(field))
    .map((field) => [field, changes[`${kind}.${field}`] ?? valueMaker(kind, field)]);
}
