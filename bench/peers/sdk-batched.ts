import { WorkOS } from "@workos-inc/node";
import pg from "pg";

// The same script, made faster in the usual way: one insert of many rows per page.

const { WORKOS_API_KEY = "", WORKOS_BASE_URL = "", DATABASE_URL = "" } = process.env;
const { hostname, port } = new URL(WORKOS_BASE_URL);
const workos = new WorkOS(WORKOS_API_KEY, { apiHostname: hostname, port: Number(port), https: false });
const client = new pg.Client(DATABASE_URL);
await client.connect();

let after: string | undefined;
do {
  const page = await workos.events.listEvents({
    events: [],
    order: "asc",
    limit: 100,
    ...(after === undefined ? {} : { after }),
  });
  const values: unknown[] = [];
  const rows = page.data.map(({ id, event, createdAt, data, context }) => {
    values.push(id, event, createdAt, field(data, "organizationId"), field(data, "id"), data, context);
    const first = values.length - 6;
    return `($${first}, $${first + 1}, $${first + 2}, $${first + 3}, $${first + 4}, $${first + 5}, $${first + 6}, 'default')`;
  });
  if (rows.length > 0) {
    await client.query(
      `insert into workos.events
         (id, event, created_at, organization_id, object_id, data, context, environment)
       values ${rows.join(",")}
       on conflict (id) do update set data = excluded.data`,
      values,
    );
  }
  after = page.listMetadata.after ?? undefined;
} while (after !== undefined);
await client.end();

function field(data: object, name: string): string | null {
  const value: unknown = Object.entries(data).find(([key]) => key === name)?.[1];
  return typeof value === "string" ? value : null;
}
