ALTER TABLE "workos"."cursors" ADD COLUMN "range_start" timestamp with time zone DEFAULT '-infinity' NOT NULL;--> statement-breakpoint
ALTER TABLE "workos"."cursors" ADD COLUMN "range_end" timestamp with time zone DEFAULT 'infinity' NOT NULL;--> statement-breakpoint
ALTER TABLE "workos"."cursors" ADD COLUMN "started_at" timestamp with time zone DEFAULT now() NOT NULL;--> statement-breakpoint
ALTER TABLE "workos"."cursors" DROP CONSTRAINT "cursors_environment_filter_pk";--> statement-breakpoint
ALTER TABLE "workos"."cursors" ADD CONSTRAINT "cursors_environment_filter_range_end_pk" PRIMARY KEY("environment","filter","range_end");--> statement-breakpoint
COMMENT ON TABLE "workos"."cursors" IS 'How far each mirror has read: of its range, everything up to "after", created at "at", is in workos.events. The row whose range_end is infinity follows the present; while a mirror has much to catch up with, each slice of that history has a row of its own. Delete a mirror''s rows to have its events read again from SYNC_SINCE on; nothing is stored twice.';--> statement-breakpoint
COMMENT ON COLUMN "workos"."cursors"."at" IS 'created_at of that event, or the instant up to which the API was seen to have nothing. A slice is done when it equals range_end.';--> statement-breakpoint
COMMENT ON COLUMN "workos"."cursors"."range_start" IS 'Where the range of this row begins; -infinity where the mirror began.';--> statement-breakpoint
COMMENT ON COLUMN "workos"."cursors"."range_end" IS 'Where the range of this row ends, exclusive. infinity: it follows the present. The other rows disappear when all of them are done.';--> statement-breakpoint
COMMENT ON COLUMN "workos"."cursors"."started_at" IS 'When the reading of this range began.';
