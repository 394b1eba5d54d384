import pg from "pg";

export interface Script {
  url: string;
  api: string;
  key: string;
}

/** The script that people write first: page by page, one upsert per event, one commit each. */
export async function eventByEvent({ url, api, key }: Script): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  await client.query("create schema workos");
  await client.query(`
    create table workos.events (
      id text primary key, event text, created_at timestamptz, organization_id text, object_id text, data jsonb
    )`);
  await client.query("create index on workos.events (event, created_at)");
  await client.query("create index on workos.events (organization_id, created_at)");
  await client.query("create index on workos.events (object_id, created_at)");
  let after: string | null = null;
  for (;;) {
    const query: string = after === null ? "" : `&after=${after}`;
    const answer = await fetch(`${api}/events?order=asc&limit=100${query}`, {
      headers: { authorization: `Bearer ${key}` },
    });
    const page: { data: ScriptEvent[] } = JSON.parse(await answer.text());
    for (const { id, event, created_at, data } of page.data) {
      await client.query(
        "insert into workos.events values ($1, $2, $3, $4, $5, $6) on conflict (id) do update set data = excluded.data",
        [id, event, created_at, data.organization_id, data.id, JSON.stringify(data)],
      );
    }
    after = page.data.at(-1)?.id ?? null;
    if (after === null) break;
  }
  await client.end();
}

interface ScriptEvent {
  id: string;
  event: string;
  created_at: string;
  data: { id?: string; organization_id?: string };
}
