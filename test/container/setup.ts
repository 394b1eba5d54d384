import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { type ContainerRuntimeClient, GenericContainer } from "testcontainers";
import type { TestProject } from "vitest/node";
import { connectToEngine, ownLabel, startContainer, stopBeforeExit } from "../support/global-setup.ts";

declare module "vitest" {
  interface ProvidedContext {
    engine: Engine;
  }
}

/** The image under test and the label that all containers of this run carry; or why there can be none. */
export type Engine = { missing: string } | { image: string; label: Record<string, string> };

export const VERSION = "9.8.7-test";
export const REVISION = "0123456789abcdef0123456789abcdef01234567";

export const repository = fileURLToPath(new URL("../..", import.meta.url));
/** A killed run leaves its images behind; this name tells them from everybody else's. */
const name = "workos-events-mirror.tests";
const image = `${name}:${process.pid}`;
/** The classic builder would leave their images without a name: with one they can be removed in the end. */
const stages = ["build", "simulated-workos"];

export default async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const client = await connectToEngine().catch((error: unknown) => tellThatThereIsNone(project, error));
  if (client === undefined) return undefined;
  const postgres = await startContainer(client);
  const tearDown = async () => {
    await postgres.stop();
    await removeImages(client);
  };
  stopBeforeExit(tearDown);
  try {
    for (const stage of stages) await buildClassic(`${image}-${stage}`, "--target", stage).catch(() => undefined);
    await GenericContainer.fromDockerfile(repository)
      .withBuildArgs({ VERSION, REVISION })
      .withBuildkit()
      .build(image, { deleteOnExit: false });
  } catch (error) {
    await tearDown();
    throw new Error("The image can't be built", { cause: error });
  }
  project.provide("postgresUrl", postgres.url);
  project.provide("engine", { image, label: ownLabel });
  return tearDown;
}

/** With the builder that was there before BuildKit. */
export async function buildClassic(tag: string, ...args: string[]): Promise<void> {
  const env = { ...process.env, DOCKER_BUILDKIT: "0" };
  await promisify(execFile)("docker", ["build", "--quiet", "--tag", tag, ...args, repository], { env });
}

function tellThatThereIsNone(project: TestProject, error: unknown): undefined {
  const missing = `no container engine answers: ${error instanceof Error ? error.message : String(error)}`;
  console.log(`
All container tests are skipped: ${missing}

To run them, install Docker (https://docs.docker.com/engine/install), or let DOCKER_HOST name an engine elsewhere, and
see that \`docker info\` answers.
`);
  project.provide("engine", { missing });
}

/** Those of this run. The containers that used them are gone by now. */
async function removeImages({ container: { dockerode } }: ContainerRuntimeClient): Promise<void> {
  for (const { RepoTags } of await dockerode.listImages({ filters: { reference: [name] } })) {
    for (const tag of RepoTags ?? []) {
      if (tag !== image && !tag.startsWith(`${image}-`)) continue;
      await dockerode.getImage(tag).remove({ force: true });
    }
  }
}
