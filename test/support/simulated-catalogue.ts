/**
 * Every type that the Events API can emit, from its public OpenAPI description (August 2026), one group a line:
 * common prefix | endings | value of data.object (- for none) | fields of data.
 * An ending's sign tells what becomes of the object (+ begins, ~ changes, - ends); its number how often it happens
 * in the simulated world (1 when absent).
 */
const table = `
action.authentication | denied | - | action_endpoint_id action_execution_id email ip_address organization_id type user_agent user_id verdict
action.user_registration | denied | - | action_endpoint_id action_execution_id email ip_address organization_id type user_agent verdict
agent.registration.claim.attempt | +created | agent_registration_claim_attempt | agent_registration_claim_id agent_registration_id created_at expires_at id login_hint object updated_at
agent.registration.claim | completed | agent_registration_claim | agent_registration_id claimed_by completed_at completed_by_attempt_id created_at id object updated_at
agent.registration | +created | agent_registration | agent_identity created_at id kind method object organization_id status updated_at
agent.registration.credential | +issued | agent_registration_credential | agent_registration_id created_at detail id object updated_at
agent.registration | -deleted -expired refreshed:3 -revoked | - | agent_registration_id
agent.registration.organization | switched | - | agent_registration_id from_organization_id to_organization_id
api_key | +created:3 -revoked | api_key | created_at expires_at id last_used_at name obfuscated_value object owner permissions updated_at
api_key | ~updated:3 | api_key | created_at expires_at id last_used_at name obfuscated_value object owner permissions previous_attributes updated_at
authentication | email_verification_failed magic_auth_failed:2 mfa_failed:3 oauth_failed:4 passkey_failed:2 password_failed:12 | - | email error ip_address status type user_agent user_id
authentication | email_verification_succeeded:8 magic_auth_succeeded:20 mfa_succeeded:25 oauth_succeeded:50 passkey_succeeded:15 password_succeeded:60 reauthentication_succeeded:5 | - | email ip_address status type user_agent user_id
authentication | radar_risk_detected:3 | - | action auth_method blocklist_type control email ip_address user_agent user_id
authentication | sso_failed:4 sso_timed_out:4 | - | email error ip_address sso status type user_agent user_id
authentication | sso_started:55 sso_succeeded:50 | - | email ip_address sso status type user_agent user_id
connection | +activated:2 ~deactivated | connection | connection_type created_at domains external_key id name object organization_id state status updated_at
connection | -deleted | connection | connection_type created_at id name object organization_id state updated_at
connection | saml_certificate_renewal_required | - | certificate connection days_until_expiry
connection | saml_certificate_renewed | - | certificate connection renewed_at
dsync | +activated:2 | directory | created_at domains external_key id name object organization_id state type updated_at
dsync | -deleted | directory | created_at id name object organization_id state type updated_at
dsync.group | +created:4 -deleted | directory_group | created_at directory_id id idp_id name object organization_id raw_attributes updated_at
dsync.group | ~updated:6 | directory_group | created_at directory_id id idp_id name object organization_id previous_attributes raw_attributes updated_at
dsync.group | user_added:24 user_removed:10 | - | directory_id group user
dsync.token | +created -revoked | directory_token | created_at directory_id id object organization_id token_suffix
dsync.user | +created:16 -deleted:4 | directory_user | created_at custom_attributes directory_id email emails first_name id idp_id job_title last_name name object organization_id raw_attributes role roles state updated_at username
dsync.user | ~updated:60 | directory_user | created_at custom_attributes directory_id email emails first_name id idp_id job_title last_name name object organization_id previous_attributes raw_attributes role roles state updated_at username
email_verification | +created:8 | email_verification | created_at email expires_at id object updated_at user_id
flag | +created -deleted ~rule_updated:3 ~updated:2 | feature_flag | created_at default_value description enabled environment_id id name object owner slug tags updated_at
group | +created:3 -deleted ~updated | group | created_at description id name object organization_id updated_at
group | member_added:8 member_removed:3 | - | group_id organization_membership_id
invitation | -accepted:5 +created:8 ~resent:2 -revoked | invitation | accepted_at accepted_user_id created_at email expires_at id inviter_user_id object organization_id revoked_at role_slug state updated_at
magic_auth | +created:20 | magic_auth | created_at email expires_at id object updated_at user_id
organization | +created:5 -deleted ~updated:6 | organization | created_at domains external_id id metadata name object stripe_customer_id updated_at
organization_domain | +created:3 -deleted ~updated ~verified:3 | organization_domain | created_at domain id object organization_id state updated_at verification_prefix verification_strategy verification_token
organization_domain | verification_failed | - | organization_domain reason
organization_membership | +created:16 -deleted:4 ~updated:10 | organization_membership | created_at custom_attributes directory_managed id object organization_id role roles status updated_at user_id
organization_role | +created -deleted ~updated | organization_role | created_at description name object organization_id permissions resource_type_slug slug updated_at
password_reset | +created:4 -succeeded:3 | password_reset | created_at email expires_at id object user_id
permission | +created -deleted ~updated | permission | created_at description id name object resource_type_slug slug system updated_at
pipes.connected_account | +connected:4 -disconnected ~reauthorization_needed | connected_account | created_at data_integration_id id object organization_id provider_slug scopes state updated_at user_id
pipes.connected_account | connection_failed | connection_failed | created_at data_integration_id error_code error_reason object organization_id provider_error provider_error_description provider_slug user_id
radar | challenge_created:3 | - | email radar_challenge_id type user_id
role | +created -deleted ~updated | role | created_at object permissions resource_type_slug slug updated_at
session | +created:120 -revoked:45 | session | auth_method created_at ended_at expires_at id impersonator ip_address object organization_id status updated_at user_agent user_id
user | +created:16 -deleted:3 ~updated:45 | user | created_at email email_verified external_id first_name id last_name last_sign_in_at locale metadata name object profile_picture_url updated_at
vault.byok_key | deleted | - | key_provider organization_id
vault.byok_key | verification_completed | - | key_provider organization_id verified
vault.data | created:5 updated:6 | - | actor_id actor_name actor_source key_context key_id kv_name
vault.data | deleted | - | actor_id actor_name actor_source kv_name
vault.data | read:20 | - | actor_id actor_name actor_source key_id kv_name
vault.dek | decrypted:10 | - | actor_id actor_name actor_source key_id
vault.dek | read:10 | - | actor_id actor_name actor_source key_context key_ids
vault.kek | created deleted | - | actor_id actor_name actor_source key_id key_name
vault.metadata | read:4 | - | actor_id actor_name actor_source kv_name
vault.names | listed:4 | - | actor_id actor_name actor_source
waitlist_user | -approved +created -denied | waitlist_user | approved_at created_at email id object state updated_at waitlist_id
`;

type Fate = "begins" | "changes" | "ends" | "none";

export interface CatalogueEntry {
  type: string;
  /** The value of `data.object`; null where the payload is a record of what happened. */
  object: string | null;
  fields: readonly string[];
  fate: Fate;
  weight: number;
}

const fates: Record<string, Fate> = { "+": "begins", "~": "changes", "-": "ends", "": "none" };

function parseEnding(ending: string): { suffix: string; fate: Fate; weight: number } {
  const [, sign = "", suffix = "", weight = "1"] = /^([+~-]?)(\w+)(?::(\d+))?$/.exec(ending) ?? [];
  return { suffix, fate: fates[sign] ?? "none", weight: Number(weight) };
}

function parseGroup(line: string): CatalogueEntry[] {
  const [prefix = "", endings = "", object = "-", fields = ""] = line.split(" | ");
  return endings
    .split(" ")
    .map(parseEnding)
    .map(({ suffix, fate, weight }) => ({
      type: `${prefix}.${suffix}`,
      object: object === "-" ? null : object,
      fields: fields.split(" "),
      fate,
      weight,
    }));
}

export const simulatedCatalogue: readonly CatalogueEntry[] = table.trim().split("\n").flatMap(parseGroup);

export const simulatedTypes: readonly string[] = simulatedCatalogue.map((entry) => entry.type);
