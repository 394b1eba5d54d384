import { isNotNull } from "drizzle-orm";
import { bigint, customType, index, jsonb, pgSchema, primaryKey, text, timestamp } from "drizzle-orm/pg-core";

/** The COMMENTs on all of these stand in migrations/, next to the tables that they describe. */
export const workos = pgSchema("workos");

/** The API's ids are compared byte by byte, not by a language's rules. */
const idText = customType<{ data: string }>({ dataType: () => `text COLLATE "C"` });

/** As text, because a Date would drop the microseconds. */
const instant = (name: string) => timestamp(name, { withTimezone: true, mode: "string" });

export const events = workos.table(
  "events",
  {
    id: idText("id").primaryKey(),
    event: text("event").notNull(),
    createdAt: instant("created_at").notNull(),
    organizationId: text("organization_id"),
    objectId: text("object_id"),
    data: jsonb("data").notNull(),
    context: jsonb("context"),
    environment: text("environment").notNull(),
    seq: bigint("seq", { mode: "bigint" }).generatedAlwaysAsIdentity().unique(),
    mirroredAt: instant("mirrored_at").notNull().defaultNow(),
    extra: jsonb("extra"),
  },
  (table) => [
    index("events_event_created_at").on(table.event, table.createdAt),
    index("events_organization_id_created_at")
      .on(table.organizationId, table.createdAt)
      .where(isNotNull(table.organizationId)),
    index("events_object_id_created_at").on(table.objectId, table.createdAt).where(isNotNull(table.objectId)),
    index("events_created_at").using("brin", table.createdAt),
  ],
);

export const cursors = workos.table(
  "cursors",
  {
    environment: text("environment").notNull(),
    filter: text("filter").notNull(),
    events: text("events").array(),
    organizationId: text("organization_id"),
    after: idText("after"),
    at: instant("at").notNull(),
    updatedAt: instant("updated_at").notNull().defaultNow(),
    rangeStart: instant("range_start").notNull().default("-infinity"),
    rangeEnd: instant("range_end").notNull().default("infinity"),
    startedAt: instant("started_at").notNull().defaultNow(),
  },
  (table) => [primaryKey({ columns: [table.environment, table.filter, table.rangeEnd] })],
);

export const quarantinedEvents = workos.table(
  "quarantined_events",
  {
    environment: text("environment").notNull(),
    digest: text("digest").notNull(),
    reason: text("reason").notNull(),
    eventId: text("event_id"),
    event: text("event"),
    raw: text("raw").notNull(),
    request: text("request").notNull(),
    requestId: text("request_id"),
    quarantinedAt: instant("quarantined_at").notNull().defaultNow(),
  },
  (table) => [primaryKey({ columns: [table.environment, table.digest] })],
);

export const gaps = workos.table("gaps", {
  id: bigint("id", { mode: "number" }).primaryKey().generatedAlwaysAsIdentity(),
  environment: text("environment").notNull(),
  filter: text("filter").notNull(),
  rangeStart: instant("range_start").notNull(),
  rangeEnd: instant("range_end").notNull(),
  reason: text("reason").notNull(),
  detectedAt: instant("detected_at").notNull().defaultNow(),
});
