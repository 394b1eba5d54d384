import { WorkOS } from "@workos-inc/node";
import pg from "pg";

// The script that people write first, on the official SDK: page by page, one upsert per event, one commit each.

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
  for (const { id, event, createdAt, data, context } of page.data) {
    await client.query(
      `insert into workos.events
         (id, event, created_at, organization_id, object_id, data, context, environment)
       values ($1, $2, $3, $4, $5, $6, $7, 'default')
       on conflict (id) do update set data = excluded.data`,
      [id, event, createdAt, field(data, "organizationId"), field(data, "id"), data, context],
    );
  }
  after = page.listMetadata.after ?? undefined;
} while (after !== undefined);
await client.end();

function field(data: object, name: string): string | null {
  const value: unknown = Object.entries(data).find(([key]) => key === name)?.[1];
  return typeof value === "string" ? value : null;
}
