import { defineConfig } from "drizzle-kit";

export default defineConfig({
  dialect: "postgresql",
  schema: "./src/postgres/schema.ts",
  out: "./migrations",
  schemaFilter: ["workos"],
  migrations: { schema: "workos", table: "__drizzle_migrations" },
});
