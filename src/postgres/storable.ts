import { sql } from "drizzle-orm";
import type { EventPage, MirroredEvent, QuarantinedEvent } from "../event.ts";
import type { Database } from "./connect.ts";
import { isDataRefused, serverMessageOf } from "./errors.ts";
import { readableJson } from "./readable.ts";
import { recordsOf } from "./upsert.ts";

/** Finds the events that Postgres refuses, one by one, and puts the nearest form that it takes in their place. */
export async function makeStorable(database: Database, page: EventPage): Promise<EventPage> {
  const events: MirroredEvent[] = [];
  const quarantined: QuarantinedEvent[] = [...page.quarantined];
  for (const event of page.events) {
    const refusal = await refusalOf(database, event);
    if (refusal !== undefined) {
      quarantined.push({ text: event.text, reason: `jsonb refuses it: ${refusal}`, id: event.id, event: event.event });
    }
    events.push(refusal === undefined ? event : await readableForm(database, event));
  }
  return { ...page, events, quarantined };
}

async function readableForm(database: Database, event: MirroredEvent): Promise<MirroredEvent> {
  const { context, extra, ...rest } = event;
  const readable = {
    ...rest,
    data: readableJson(event.data),
    ...(context === undefined ? {} : { context: readableJson(context) }),
    ...(extra === undefined ? {} : { extra: readableJson(extra) }),
  };
  return (await refusalOf(database, readable)) === undefined ? readable : { ...rest, data: "{}" };
}

/** What Postgres says against the event's JSON; undefined when it takes it. */
async function refusalOf(database: Database, event: MirroredEvent): Promise<string | undefined> {
  try {
    // what nobody asks for is not parsed
    await database.execute(sql`select count(data), count(context), count(extra) from ${recordsOf([event])}`);
    return undefined;
  } catch (error) {
    if (!isDataRefused(error)) throw error;
    return serverMessageOf(error);
  }
}
