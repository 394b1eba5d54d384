import { randomBytes } from "node:crypto";
import pg from "pg";
import { inject } from "vitest";

export interface TestDatabase extends AsyncDisposable {
  url: string;
  pool: pg.Pool;
  drop(): Promise<void>;
}

/** A fresh, empty database on the server of this test run: `await using database = await createTestDatabase()`. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const name = `test_${randomBytes(8).toString("hex")}`;
  await onServer(`create database "${name}"`);
  const url = new URL(inject("postgresUrl"));
  url.pathname = name;
  const pool = new pg.Pool({ connectionString: url.href, pipeline: true });
  // Tests cut connections on purpose; without a listener an idle one's end would end the test run.
  pool.on("error", () => {});
  const drop = async () => {
    if (!pool.ending) await pool.end();
    await onServer(`drop database if exists "${name}" with (force)`);
  };
  return { url: url.href, pool, drop, [Symbol.asyncDispose]: drop };
}

async function onServer(statement: string): Promise<void> {
  const client = new pg.Client(inject("postgresUrl"));
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

/** Whether the server lets in whoever comes, so that nothing about passwords can be tested. */
export async function asksForNoPassword(): Promise<boolean> {
  const client = new pg.Client(Object.assign(new URL(inject("postgresUrl")), { password: "wrong" }).href);
  return client.connect().then(
    () => client.end().then(() => true),
    () => false,
  );
}
