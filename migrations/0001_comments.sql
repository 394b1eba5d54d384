COMMENT ON SCHEMA "workos" IS 'A mirror of the WorkOS Events API, kept by workos-events-mirror. Read it freely; only the mirror writes here.';
--> statement-breakpoint
COMMENT ON TABLE "workos"."events" IS 'Every event that GET /events gave, exactly once. Names are the API''s own.';
--> statement-breakpoint
COMMENT ON COLUMN "workos"."events"."id" IS 'The event''s id, such as event_01EHZNVPK3SFK441A1RGBFSHRT. Compared byte by byte.';
--> statement-breakpoint
COMMENT ON COLUMN "workos"."events"."event" IS 'The event''s type, such as dsync.user.created. Types that WorkOS adds later appear without notice.';
--> statement-breakpoint
COMMENT ON COLUMN "workos"."events"."created_at" IS 'When the event happened, by WorkOS''s clock, with microseconds where the API gave them.';
--> statement-breakpoint
COMMENT ON COLUMN "workos"."events"."organization_id" IS 'data.organization_id; for organization.* events the organization itself, data.id. Null where the event belongs to no organization, user events for one.';
--> statement-breakpoint
COMMENT ON COLUMN "workos"."events"."object_id" IS 'data.id: the object that the event is about. Null for events that record what happened instead, authentication.* for one.';
--> statement-breakpoint
COMMENT ON COLUMN "workos"."events"."data" IS 'The event''s payload: a snapshot of the object for most types. Numbers keep all their digits.';
--> statement-breakpoint
COMMENT ON COLUMN "workos"."events"."context" IS 'The event''s context as the API sent it; null when it sent none.';
--> statement-breakpoint
COMMENT ON COLUMN "workos"."events"."environment" IS 'WORKOS_ENVIRONMENT of the mirror that wrote the row: the API does not say to which environment an event belongs.';
--> statement-breakpoint
COMMENT ON COLUMN "workos"."events"."seq" IS 'Grows in the order of commits: who reads "where seq > $last order by seq" never misses a row. May have holes. Not the order of created_at.';
--> statement-breakpoint
COMMENT ON COLUMN "workos"."events"."mirrored_at" IS 'When the row was first written here.';
--> statement-breakpoint
COMMENT ON COLUMN "workos"."events"."extra" IS 'Fields of the event that have no column of their own; null when there are none.';
--> statement-breakpoint
COMMENT ON TABLE "workos"."cursors" IS 'How far each mirror has read: everything up to "after", created at "at", is in workos.events. Delete a row to have its events read again from SYNC_SINCE on; nothing is stored twice.';
--> statement-breakpoint
COMMENT ON COLUMN "workos"."cursors"."environment" IS 'WORKOS_ENVIRONMENT of the mirror.';
--> statement-breakpoint
COMMENT ON COLUMN "workos"."cursors"."filter" IS 'Which events the mirror asks for, in short; * is all. A mirror with another filter has a position of its own.';
--> statement-breakpoint
COMMENT ON COLUMN "workos"."cursors"."events" IS 'The event types that are asked for; null is all.';
--> statement-breakpoint
COMMENT ON COLUMN "workos"."cursors"."organization_id" IS 'The only organization whose events are asked for; null is all.';
--> statement-breakpoint
COMMENT ON COLUMN "workos"."cursors"."after" IS 'Id of the last event that was stored. Null when the next request starts at the instant "at" instead.';
--> statement-breakpoint
COMMENT ON COLUMN "workos"."cursors"."at" IS 'created_at of that event, or the instant up to which the API was seen to have nothing.';
--> statement-breakpoint
COMMENT ON COLUMN "workos"."cursors"."updated_at" IS 'When the position last moved. It does not move while nothing happens.';
--> statement-breakpoint
COMMENT ON TABLE "workos"."quarantined_events" IS 'What the API sent that is no valid event, or that jsonb can''t hold, with the text as it came. Where it has an id, a type and a time, a readable form of it is in workos.events as well.';
--> statement-breakpoint
COMMENT ON COLUMN "workos"."quarantined_events"."environment" IS 'WORKOS_ENVIRONMENT of the mirror that met it.';
--> statement-breakpoint
COMMENT ON COLUMN "workos"."quarantined_events"."digest" IS 'SHA-256 of raw, in hexadecimal: the same text is kept once, however often the API sends it.';
--> statement-breakpoint
COMMENT ON COLUMN "workos"."quarantined_events"."reason" IS 'What is wrong with it.';
--> statement-breakpoint
COMMENT ON COLUMN "workos"."quarantined_events"."event_id" IS 'Its id, where it has a valid one.';
--> statement-breakpoint
COMMENT ON COLUMN "workos"."quarantined_events"."event" IS 'Its type, where it has a valid one.';
--> statement-breakpoint
COMMENT ON COLUMN "workos"."quarantined_events"."raw" IS 'The element of the page''s data, character by character.';
--> statement-breakpoint
COMMENT ON COLUMN "workos"."quarantined_events"."request" IS 'Path and query of the request whose answer held it.';
--> statement-breakpoint
COMMENT ON COLUMN "workos"."quarantined_events"."request_id" IS 'x-request-id of that answer: WorkOS support asks for it.';
--> statement-breakpoint
COMMENT ON COLUMN "workos"."quarantined_events"."quarantined_at" IS 'When it was first met.';
--> statement-breakpoint
COMMENT ON TABLE "workos"."gaps" IS 'Ranges of time whose events the API may have forgotten before this mirror could read them. An empty table is the promise kept.';
--> statement-breakpoint
COMMENT ON COLUMN "workos"."gaps"."id" IS 'Number of the gap.';
--> statement-breakpoint
COMMENT ON COLUMN "workos"."gaps"."environment" IS 'WORKOS_ENVIRONMENT of the mirror.';
--> statement-breakpoint
COMMENT ON COLUMN "workos"."gaps"."filter" IS 'The mirror''s filter, as in workos.cursors.';
--> statement-breakpoint
COMMENT ON COLUMN "workos"."gaps"."range_start" IS 'Everything up to here was read.';
--> statement-breakpoint
COMMENT ON COLUMN "workos"."gaps"."range_end" IS 'From here on everything could be read again.';
--> statement-breakpoint
COMMENT ON COLUMN "workos"."gaps"."reason" IS 'Why the range could not be read.';
--> statement-breakpoint
COMMENT ON COLUMN "workos"."gaps"."detected_at" IS 'When the gap was found.';
