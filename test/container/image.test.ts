import { readFile } from "node:fs/promises";
import { getContainerRuntimeClient } from "testcontainers";
import { expect } from "vitest";
import { test } from "./container-test.ts";
import { MirrorContainer, type MirrorOptions } from "./mirror-container.ts";
import { buildClassic, REVISION, repository, VERSION } from "./setup.ts";

const BASE = "node:24-bookworm-slim";
const MOST_MB = 35;

type Inspected = Awaited<ReturnType<typeof inspectImage>>;

async function inspectImage(name: string) {
  const { container } = await getContainerRuntimeClient();
  return container.dockerode.getImage(name).inspect();
}

async function run(options: MirrorOptions): Promise<{ code: number; output: string }> {
  await using mirror = await MirrorContainer.start({}, { startsWith: /./, ...options });
  return { code: await mirror.exitCode(), output: await mirror.output() };
}

/** Paths below /app. */
async function filesOf(image: string): Promise<string[]> {
  const program = "console.log(JSON.stringify(fs.readdirSync('/app', { recursive: true })))";
  const { output } = await run({ image, entrypoint: ["node"], command: ["--eval", program] });
  return JSON.parse(output).sort();
}

/** What the engine goes by, without what build arguments set. */
function behaviourOf({ Config }: Inspected): Record<string, unknown> {
  const names = [
    "User",
    "Env",
    "Entrypoint",
    "Cmd",
    "WorkingDir",
    "StopSignal",
    "ExposedPorts",
    "Volumes",
    "Healthcheck",
  ];
  const Env = Config.Env.filter((variable) => !variable.startsWith("MIRROR_"));
  return Object.fromEntries(Object.entries({ ...Config, Env }).filter(([name]) => names.includes(name)));
}

test("says with --version what it was built as", async ({ engine: _ }) => {
  expect(await run({ command: ["--version"] })).toEqual({ code: 0, output: `${VERSION} (${REVISION})\n` });
});

test("describes itself to the engine", async ({ engine }) => {
  const { Config } = await inspectImage(engine.image);
  expect(Config).toMatchObject({
    User: "1000:1000",
    StopSignal: "SIGTERM",
    Entrypoint: ["node", "/app/dist/main.js"],
    Cmd: ["run"],
    ExposedPorts: { "8080/tcp": {} },
    Healthcheck: { Test: ["CMD", "node", "/app/dist/healthcheck.js"] },
    Labels: {
      "org.opencontainers.image.title": "workos-events-mirror",
      "org.opencontainers.image.description": expect.stringContaining("WorkOS"),
      "org.opencontainers.image.licenses": "MIT",
      "org.opencontainers.image.version": VERSION,
      "org.opencontainers.image.revision": REVISION,
    },
  });
});

test(`adds less than ${MOST_MB} MB to ${BASE}, and nothing for development`, async ({ engine }) => {
  const [image, base] = await Promise.all([inspectImage(engine.image), inspectImage(BASE)]);
  expect((image.Size - base.Size) / 1e6).toBeLessThan(MOST_MB);
  const files = await filesOf(engine.image);
  expect(files.filter((file) => !/^(migrations|package\.json$|LICENSE$|THIRD-PARTY-NOTICES\.txt$)/.test(file))).toEqual(
    ["dist", "dist/healthcheck.js", "dist/main.js"],
  );
});

test("comes out the same of the classic builder, and without arguments is its package's version", async ({
  engine,
}) => {
  const image = `${engine.image}-classic`;
  await buildClassic(image);
  const [classic, other] = await Promise.all([inspectImage(image), inspectImage(engine.image)]);
  expect(behaviourOf(classic)).toEqual(behaviourOf(other));
  expect(await filesOf(image)).toEqual(await filesOf(engine.image));
  const { version } = JSON.parse(await readFile(`${repository}package.json`, "utf8"));
  expect(await run({ image, command: ["--version"] })).toEqual({ code: 0, output: `${version}\n` });
});
