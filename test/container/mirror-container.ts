import { type ContainerRuntimeClient, GenericContainer, getContainerRuntimeClient, Wait } from "testcontainers";
import { inject } from "vitest";
import type { LogLine } from "../support/mirror-process.ts";
import type { SimulatedApi } from "../support/simulated-api.ts";
import type { TestDatabase } from "../support/test-database.ts";
import { until } from "../support/wait.ts";

type DockerContainer = ReturnType<ContainerRuntimeClient["container"]["getById"]>;

/** The host as a container sees it. */
const HOST = { host: "host.docker.internal", ipAddress: "host-gateway" };
const MILLISECOND = 1e6; // in the engine's nanoseconds

export interface MirrorOptions {
  /** Another one than the one under test. */
  image?: string;
  entrypoint?: string[];
  command?: string[];
  /** The part of the output that the start waits for. */
  startsWith?: RegExp;
  /** False to see what the program would write if it could. */
  readOnly?: boolean;
  /** False to see whether anything needs one. */
  hasShell?: boolean;
  /** Seconds between the image's own health checks, the first of which that fails tells. */
  healthEvery?: number;
}

/** What the image is run with where nothing is left open, as in docker-compose.yml. */
class HardenedContainer extends GenericContainer {
  constructor(image: string, { readOnly = true, healthEvery }: MirrorOptions) {
    super(image);
    this.hostConfig.ReadonlyRootfs = readOnly;
    if (healthEvery !== undefined) {
      this.createOpts.Healthcheck = {
        Interval: healthEvery * 1000 * MILLISECOND,
        StartPeriod: MILLISECOND,
        Retries: 1,
      };
    }
  }
}

/** The environment of a mirror in a container between these two, both of which are on the host's ports. */
export function between(api: SimulatedApi, database: TestDatabase): Record<string, string> {
  const seenFromContainer = (url: string) => Object.assign(new URL(url), { hostname: HOST.host }).href;
  return {
    WORKOS_API_KEY: api.apiKey,
    WORKOS_BASE_URL: seenFromContainer(api.url),
    WORKOS_ALLOW_HTTP: "true",
    DATABASE_URL: seenFromContainer(database.url),
    RATE_LIMIT: "1000/1s",
    POLL_INTERVAL: "200ms",
  };
}

/** The image as it is published, run by the engine. */
export class MirrorContainer implements AsyncDisposable {
  readonly docker: DockerContainer;
  /** Where its ports are. */
  readonly #host: string;

  static async start(env: Record<string, string>, options: MirrorOptions = {}): Promise<MirrorContainer> {
    const engine = inject("engine");
    if ("missing" in engine) throw new Error(engine.missing);
    const { command = [], startsWith = /serving \/livez/, hasShell = true } = options;
    const shells = hasShell ? [] : ["/usr/bin/dash", "/usr/bin/bash"];
    const container = new HardenedContainer(options.image ?? engine.image, options);
    if (options.entrypoint !== undefined) container.withEntrypoint(options.entrypoint);
    const started = await container
      .withLabels(engine.label)
      .withEnvironment(env)
      .withCommand(command)
      .withExtraHosts([HOST])
      .withExposedPorts(8080)
      .withBindMounts(shells.map((target) => ({ source: "/dev/null", target, mode: "ro" })))
      .withDroppedCapabilities("ALL")
      .withSecurityOpt("no-new-privileges:true")
      .withResourcesQuota({ memory: 0.375 })
      .withWaitStrategy(Wait.forLogMessage(startsWith))
      .start();
    const client = await getContainerRuntimeClient();
    return new MirrorContainer(client.container.getById(started.getId()), started.getHost());
  }

  constructor(docker: DockerContainer, host: string) {
    this.docker = docker;
    this.#host = host;
  }

  inspect(): ReturnType<DockerContainer["inspect"]> {
    return this.docker.inspect();
  }

  /** All that it has written so far, standard output and error. */
  async output(): Promise<string> {
    return textOf(await this.docker.logs({ stdout: true, stderr: true, follow: false }));
  }

  async log(): Promise<LogLine[]> {
    const lines = (await this.output()).split("\n");
    return lines.filter((line) => line.startsWith('{"')).map((line) => JSON.parse(line));
  }

  /** The first line whose message begins so. */
  says(beginning: string): Promise<LogLine> {
    return until(
      async () => (await this.log()).find(({ msg }) => msg.startsWith(beginning)),
      `the line "${beginning}…"`,
      60_000,
    );
  }

  /** The code and the body. The port is another one after each start. */
  async ask(path: string): Promise<[number, string]> {
    const { NetworkSettings } = await this.inspect();
    const answer = await fetch(`http://${this.#host}:${NetworkSettings.Ports["8080/tcp"]?.[0]?.HostPort}${path}`);
    return [answer.status, await answer.text()];
  }

  /** As `docker stop` does, and with its patience; answers the exit code, which is 137 when that was not enough. */
  async stop(): Promise<number> {
    await this.docker.stop({ t: 10 });
    return this.exitCode();
  }

  async kill(signal = "SIGKILL"): Promise<void> {
    await this.docker.kill({ signal });
  }

  /** Once it has ended. */
  async exitCode(): Promise<number> {
    const { StatusCode } = await this.docker.wait();
    return StatusCode;
  }

  /** User and command line of each process, but for a health check that happens to run. */
  async processes(): Promise<string[]> {
    const { Processes } = await this.docker.top({ ps_args: "-o pid,uid,args" });
    const lines = Processes.map(([, ...columns]: string[]) => columns.join(" "));
    return lines.filter((line: string) => !line.endsWith(" /app/dist/healthcheck.js"));
  }

  async health(status: "healthy" | "unhealthy"): Promise<string> {
    const look = async () => {
      const { Health } = (await this.inspect()).State;
      return Health?.Status === status ? (Health.Log.at(-1)?.Output ?? "") : undefined;
    };
    return until(look, `the container to be ${status}`, 60_000);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.docker.remove({ force: true, v: true });
  }
}

/** The engine sends frames: eight bytes that end with a length, then as many bytes of text. */
function textOf(frames: Buffer): string {
  const texts: Buffer[] = [];
  for (let at = 0; at < frames.length; ) {
    const end = at + 8 + frames.readUInt32BE(at + 4);
    texts.push(frames.subarray(at + 8, end));
    at = end;
  }
  return Buffer.concat(texts).toString("utf8");
}
