import type pg from "pg";
import { expect } from "vitest";
import { parseInstant } from "../../src/instant.ts";
import type { SimulatedEvent } from "./simulated-events.ts";

/** Expects workos.events to hold exactly these events, each as the API sent it, down to the last digit. */
export async function expectMirrored(pool: pg.Pool, events: readonly SimulatedEvent[]): Promise<void> {
  const rows = events.map(({ text, createdAt }) => ({ text, created_at: parseInstant(createdAt) }));
  const { rows: differences } = await pool.query(
    `with expected as (
       select text::jsonb ->> 'id' as id, text::jsonb as sent, created_at
       from json_to_recordset($1) as given(text text, created_at timestamptz)
     )
     select
       coalesce(expected.id, stored.id) as id,
       case when stored.id is null then 'missing' when expected.id is null then 'not the API''s' else 'different' end as what
     from expected
     full join workos.events as stored on stored.id = expected.id
     where stored.id is null
       or expected.id is null
       or stored.event <> expected.sent ->> 'event'
       or stored.created_at <> expected.created_at
       or stored.data::text <> (expected.sent -> 'data')::text
       or stored.context::text is distinct from (expected.sent -> 'context')::text
       or stored.extra::text is distinct from
          nullif((expected.sent - array['object', 'id', 'event', 'created_at', 'data', 'context'])::text, '{}')
     limit 20`,
    [JSON.stringify(rows)],
  );
  expect(differences).toEqual([]);
}

/** Every committed position must have its event stored: the cursor is never ahead of the data. */
export async function expectCursorNotAhead(pool: pg.Pool): Promise<void> {
  const { rows } = await pool.query(
    `select cursors.after
     from workos.cursors
     left join workos.events on events.id = cursors.after
     left join workos.quarantined_events on quarantined_events.event_id = cursors.after
     where cursors.after is not null and events.id is null and quarantined_events.event_id is null`,
  );
  expect(rows).toEqual([]);
}
