import * as z from "zod";

// Where Postgres is and how to reach it, by the names and with the meaning that libpq gives them, so that DATABASE_URL
// and the PG* variables say here what they say to psql:
// https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS

const SSL_MODES = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] as const;

const NO_SERVICE = "give what the service file holds as PGHOST, PGUSER and so on, or as DATABASE_URL";
const NO_REVOCATION = "certificates are checked against sslrootcert only";

const text = z.string().optional();
const ignored = text;
const unsupported = (instead: string) => z.undefined(`is not supported: ${instead}`).optional();
const only = (values: [string, ...string[]], instead: string) =>
  z.enum(values, `is supported only as ${values.join(" or ")}: ${instead}`).optional();
const oneOf = <const T extends readonly [string, ...string[]]>(values: T) =>
  z.enum(values, `must be one of ${values.join(", ")}`).optional();

export const PARAMETERS = z.strictObject({
  host: z
    .string()
    .regex(/^[^,]*$/, "names several hosts: give one, a name that follows the primary")
    .regex(/^[^@]/, "is an abstract socket, which is not supported: give a socket's folder, or a host")
    .default("localhost"),
  port: z
    .string()
    .regex(/^\d{1,5}$/, "must be a port number")
    .default("5432")
    .transform(Number)
    .refine((port) => port > 0 && port < 65_536, "must be a port number"),
  user: text,
  password: text,
  passfile: text,
  dbname: text,
  sslmode: oneOf(SSL_MODES),
  sslrootcert: text,
  sslcert: text,
  sslkey: text,
  sslnegotiation: oneOf(["postgres", "direct"]),
  channel_binding: oneOf(["disable", "prefer", "require"]),
  application_name: text,
  connect_timeout: z
    .string()
    .regex(/^\d{1,6}$/, "must be a whole number of seconds")
    .default("0")
    .transform(Number),
  options: text,
  // What follows is not used: refused where it asks for more than is done, else let pass.
  service: unsupported(NO_SERVICE),
  servicefile: unsupported(NO_SERVICE),
  hostaddr: unsupported("give the address as the host"),
  sslcrl: unsupported(NO_REVOCATION),
  sslcrldir: unsupported(NO_REVOCATION),
  sslpassword: unsupported("use a key without a passphrase"),
  sslcertmode: only(["allow"], "a certificate is sent when the server asks for it"),
  ssl_min_protocol_version: only(["TLSv1", "TLSv1.1", "TLSv1.2"], "for more, set NODE_OPTIONS=--tls-min-v1.3"),
  ssl_max_protocol_version: only(["TLSv1.3"], "for less, set NODE_OPTIONS=--tls-max-v1.2"),
  require_auth: unsupported("use sslmode=verify-full to know the server"),
  requirepeer: unsupported("protect the folder of the socket instead"),
  gssencmode: only(["disable", "prefer"], "encrypt with sslmode instead"),
  target_session_attrs: only(["any", "read-write", "primary"], "a mirror has to write"),
  client_encoding: only(["UTF8", "utf8", "auto"], "events hold every character"),
  replication: unsupported("a mirror needs an ordinary session"),
  load_balance_hosts: ignored,
  fallback_application_name: ignored,
  keepalives: ignored,
  keepalives_idle: ignored,
  keepalives_interval: ignored,
  keepalives_count: ignored,
  tcp_user_timeout: ignored,
  sslcompression: ignored,
  sslsni: ignored,
  krbsrvname: ignored,
  gsslib: ignored,
  gssdelegation: ignored,
  uselibpqcompat: ignored, // node-postgres's own; what it asks for is done
});

type Parsed = z.infer<typeof PARAMETERS>;

/** Checked, and with defaults. */
export type ConnectionParameters = Parsed & { user: string; dbname: string; sslmode: (typeof SSL_MODES)[number] };

const ODD_VARIABLES: Record<string, string> = {
  dbname: "PGDATABASE",
  application_name: "PGAPPNAME",
  connect_timeout: "PGCONNECT_TIMEOUT",
};

/** The variable in which libpq looks for a parameter. */
export function variableOf(parameter: string): string {
  return ODD_VARIABLES[parameter] ?? `PG${parameter.replaceAll("_", "").toUpperCase()}`;
}

/** Every variable that says where Postgres is, those included that are refused. */
export const CONNECTION_VARIABLES: readonly string[] = Object.keys(PARAMETERS.shape).map(variableOf);
