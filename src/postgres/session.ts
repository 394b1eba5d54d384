import pg from "pg";

/**
 * What a session asks of the server, so that a client that has gone without a word (power, a black hole in the network)
 * is noticed within seconds and not after the two hours of the kernel's defaults: only then it gives up what it locks.
 */
const WATCHFUL = [
  { tcp_keepalives_idle: "5", tcp_keepalives_interval: "2", tcp_keepalives_count: "3", tcp_user_timeout: "10s" },
  { client_connection_check_interval: "5s" }, // not every platform of the server has it
];

/**
 * Prepares a session that is ours alone, and answers whether it is. One of a pooler serves others, too, and is left as
 * it is. PgBouncer and its like give themselves away by process ids of their own making.
 */
export async function prepareSession(client: pg.ClientBase): Promise<boolean> {
  const { rows } = await client.query<{ process: number }>("select pg_backend_pid() as process");
  const isOurs = "processID" in client && client.processID === rows[0]?.process;
  // by statement, since poolers refuse unknown startup parameters
  for (const settings of isOurs ? WATCHFUL : []) {
    await set(client, settings, "session").catch((error: unknown) => {
      if (!(error instanceof pg.DatabaseError)) throw error;
    });
  }
  return isOurs;
}

export async function set(
  client: pg.ClientBase,
  settings: Readonly<Record<string, string>>,
  until: "session" | "transaction",
): Promise<void> {
  const isLocal = until === "transaction";
  await client.query("select set_config(key, value, $2) from json_each_text($1)", [JSON.stringify(settings), isLocal]);
}
