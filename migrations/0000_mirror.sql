-- drizzle's migrator has made the schema already, for its own table
CREATE SCHEMA IF NOT EXISTS "workos";
--> statement-breakpoint
CREATE TABLE "workos"."cursors" (
	"environment" text NOT NULL,
	"filter" text NOT NULL,
	"events" text[],
	"organization_id" text,
	"after" text COLLATE "C",
	"at" timestamp with time zone NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "cursors_environment_filter_pk" PRIMARY KEY("environment","filter")
);
--> statement-breakpoint
CREATE TABLE "workos"."events" (
	"id" text COLLATE "C" PRIMARY KEY NOT NULL,
	"event" text NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	"organization_id" text,
	"object_id" text,
	"data" jsonb NOT NULL,
	"context" jsonb,
	"environment" text NOT NULL,
	"seq" bigint GENERATED ALWAYS AS IDENTITY (sequence name "workos"."events_seq_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"mirrored_at" timestamp with time zone DEFAULT now() NOT NULL,
	"extra" jsonb,
	CONSTRAINT "events_seq_unique" UNIQUE("seq")
);
--> statement-breakpoint
CREATE TABLE "workos"."gaps" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "workos"."gaps_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"environment" text NOT NULL,
	"filter" text NOT NULL,
	"range_start" timestamp with time zone NOT NULL,
	"range_end" timestamp with time zone NOT NULL,
	"reason" text NOT NULL,
	"detected_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "workos"."quarantined_events" (
	"environment" text NOT NULL,
	"digest" text NOT NULL,
	"reason" text NOT NULL,
	"event_id" text,
	"event" text,
	"raw" text NOT NULL,
	"request" text NOT NULL,
	"request_id" text,
	"quarantined_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "quarantined_events_environment_digest_pk" PRIMARY KEY("environment","digest")
);
--> statement-breakpoint
CREATE INDEX "events_event_created_at" ON "workos"."events" USING btree ("event","created_at");--> statement-breakpoint
CREATE INDEX "events_organization_id_created_at" ON "workos"."events" USING btree ("organization_id","created_at") WHERE "workos"."events"."organization_id" is not null;--> statement-breakpoint
CREATE INDEX "events_object_id_created_at" ON "workos"."events" USING btree ("object_id","created_at") WHERE "workos"."events"."object_id" is not null;--> statement-breakpoint
CREATE INDEX "events_created_at" ON "workos"."events" USING brin ("created_at");