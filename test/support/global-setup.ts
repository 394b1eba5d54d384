import { chmod, mkdtemp, readlink, rm } from "node:fs/promises";
import { constants, hostname, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import type { ContainerRuntimeClient } from "testcontainers";
import type { TestProject } from "vitest/node";
import { isAlive, startEmbeddedPostgres } from "./embedded-postgres.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Of a superuser, on the server that all tests share. */
    postgresUrl: string;
  }
}

interface Server {
  name: string;
  url: string;
  stop(): Promise<void>;
}

const image = process.env.TEST_POSTGRES_IMAGE || "postgres:18-alpine";

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const starting = chooseServer();
  const stop = async () => await (await starting).stop();
  stopBeforeExit(stop);
  const server = await starting;
  try {
    console.log(`tests use PostgreSQL ${await versionOf(server.url)} (${server.name})`);
  } catch (error) {
    await stop();
    throw new Error(`The PostgreSQL for the tests (${server.name}) does not answer`, { cause: error });
  }
  project.provide("postgresUrl", server.url);
  return stop;
}

/** On a signal vitest ends within a millisecond, without any teardown. */
export function stopBeforeExit(stop: () => Promise<void>): void {
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.removeAllListeners(signal);
    // Not once(): a library below testcontainers kills the process as soon as nobody else listens.
    process.on(signal, async () => {
      await stop().catch(console.error);
      process.exit(128 + constants.signals[signal]);
    });
  }
}

async function chooseServer(): Promise<Server> {
  const url = process.env.TEST_DATABASE_URL;
  if (url) return { name: "TEST_DATABASE_URL", url, stop: async () => {} };
  try {
    return await startContainer(await connectToEngine());
  } catch (error) {
    return await startEmbedded(error instanceof Error ? error.message : String(error));
  }
}

async function versionOf(url: string): Promise<string> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    const answer = await client.query<{ server_version: string }>("show server_version");
    return answer.rows[0]?.server_version ?? "of an unknown version";
  } finally {
    await client.end();
  }
}

// ---- A container, where Docker answers --------------------------------------------------------------------------

const label = "workos-events-mirror.tests";

/** Of every container that a test run starts: who carries it is removed at the end, or by the next run. */
export const ownLabel = { [label]: `${hostname()} ${process.pid}` };

/** Rejects where none answers. */
export async function connectToEngine(): Promise<ContainerRuntimeClient> {
  // Its cleaning container comes out of a registry that may be out of reach; removeContainers() does without.
  process.env.TESTCONTAINERS_RYUK_DISABLED ??= "true";
  const { getContainerRuntimeClient } = await import("testcontainers");
  return await within(20_000, "Docker's answer", getContainerRuntimeClient());
}

export async function startContainer(client: ContainerRuntimeClient): Promise<Server> {
  const { GenericContainer, ImageName, Wait } = await import("testcontainers");
  await removeContainers(client);
  // By itself, since a hanging registry leaves no container behind and can be walked away from.
  await within(60_000, `the image ${image}`, client.image.pull(ImageName.fromString(image)));
  const starting = new GenericContainer(image)
    .withEnvironment({ POSTGRES_PASSWORD: "test" })
    .withCommand(["postgres", "-c", "fsync=off", "-c", "max_connections=200"])
    .withTmpFs({ "/var/lib/postgresql": "rw" })
    .withLabels(ownLabel)
    .withExposedPorts(5432)
    .withWaitStrategy(Wait.forAll([Wait.forLogMessage(/ready to accept connections/, 2), Wait.forListeningPorts()]))
    .withStartupTimeout(60_000)
    .start();
  try {
    const container = await within(90_000, "the container", starting);
    const url = `postgres://postgres:test@${container.getHost()}:${container.getMappedPort(5432)}/postgres`;
    return { name: `testcontainers, ${image}`, url, stop: () => removeContainers(client) };
  } catch (error) {
    await removeContainers(client);
    starting.then(() => removeContainers(client)).catch(() => {});
    throw error;
  }
}

/** Those of this run, and those of earlier runs that were killed. */
async function removeContainers(client: ContainerRuntimeClient): Promise<void> {
  const { dockerode } = client.container;
  for (const { Id, Labels } of await dockerode.listContainers({ all: true, filters: { label: [label] } })) {
    const [host, pid] = (Labels[label] ?? "").split(" ");
    const abandoned = host === hostname() && (Number(pid) === process.pid || !isAlive(Number(pid)));
    if (abandoned) await dockerode.getContainer(Id).remove({ force: true, v: true });
  }
}

async function within<T>(milliseconds: number, what: string, promise: Promise<T>): Promise<T> {
  const late = delay(milliseconds, undefined, { ref: false }).then(() => {
    throw new Error(`${what} did not come within ${milliseconds / 1000} s`);
  });
  return await Promise.race([promise, late]);
}

// ---- The programs out of the npm package, elsewhere -------------------------------------------------------------

async function startEmbedded(whyNoContainer: string): Promise<Server> {
  const directory = await mkdtemp(join(tmpdir(), "workos-events-mirror-test-"));
  // For root, whose server runs as another user.
  await chmod(directory, 0o755);
  const dataDir = join(directory, "postgres");
  const discard = async () => {
    const elsewhere = await readlink(dataDir).catch(() => undefined);
    if (elsewhere !== undefined) await rm(dirname(elsewhere), { recursive: true, force: true });
    await rm(directory, { recursive: true, force: true });
  };
  try {
    const server = await startEmbeddedPostgres({ dataDir, fsync: false });
    const stop = async () => {
      await server.stop();
      await discard();
    };
    return { name: `embedded-postgres, as there is no container: ${whyNoContainer}`, url: server.url, stop };
  } catch (error) {
    await discard();
    throw error;
  }
}
