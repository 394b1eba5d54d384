import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { promisify } from "node:util";
import { getContainerRuntimeClient } from "testcontainers";
import { freePort } from "../support/free-port.ts";
import type { LogLine } from "../support/mirror-process.ts";
import { until } from "../support/wait.ts";
import { repository } from "./setup.ts";

const run = promisify(execFile);
/** What a fresh clone does not have. */
const NOT_CLONED = /^(node_modules|dist|secrets|\.git|\.data|\.env)($|\/)/;

/** `docker compose`, or docker-compose as it was before; undefined where there is neither. */
export async function findCompose(): Promise<string[] | undefined> {
  for (const [program = "", ...args] of [["docker", "compose"], ["docker-compose"]]) {
    if (await run(program, [...args, "version"]).catch(() => undefined)) return [program, ...args];
  }
  return undefined;
}

/** A clone of this repository in a folder of its own, with this .env, as whoever deploys it has it. */
export class ComposeProject implements AsyncDisposable {
  readonly folder: string;
  readonly ports: { postgres: number; demoPostgres: number };
  readonly #compose: string[];
  readonly #image: string;

  static async create(compose: string[], image: string, env: Record<string, string>): Promise<ComposeProject> {
    const folder = await mkdtemp(join(tmpdir(), "mirror-compose-"));
    await cp(repository, folder, { recursive: true, filter: (path) => !NOT_CLONED.test(relative(repository, path)) });
    const ports = { postgres: await freePort(), demoPostgres: await freePort() };
    const project = new ComposeProject(folder, ports, compose, image);
    await project.write(
      ".env",
      Object.entries(env)
        .map(([name, value]) => `${name}=${value}\n`)
        .join(""),
    );
    return project;
  }

  private constructor(folder: string, ports: ComposeProject["ports"], compose: string[], image: string) {
    this.folder = folder;
    this.ports = ports;
    this.#compose = compose;
    this.#image = image;
  }

  async write(path: string, content: string): Promise<void> {
    await mkdir(dirname(join(this.folder, path)), { recursive: true });
    await writeFile(join(this.folder, path), content);
  }

  /** What it writes to standard output. */
  async compose(...args: string[]): Promise<string> {
    const [program = "", ...first] = this.#compose;
    const { PATH = "", HOME = "", DOCKER_HOST } = process.env;
    const { stdout } = await run(program, [...first, ...args], {
      cwd: this.folder,
      env: {
        PATH,
        HOME,
        ...(DOCKER_HOST === undefined ? {} : { DOCKER_HOST }),
        MIRROR_IMAGE: this.#image,
        POSTGRES_PORT: String(this.ports.postgres),
        DEMO_POSTGRES_PORT: String(this.ports.demoPostgres),
      },
    });
    return stdout;
  }

  /** Names of the services that have a container that runs. */
  async running(): Promise<string[]> {
    const services = await this.compose("ps", "--services", "--filter", "status=running");
    return services.split("\n").filter(Boolean).sort();
  }

  async inspect(service: string) {
    const id = (await this.compose("ps", "--quiet", "--all", service)).trim();
    const { container } = await getContainerRuntimeClient();
    return container.getById(id).inspect();
  }

  async log(service: string): Promise<LogLine[]> {
    const output = await this.compose("logs", "--no-color", service);
    return output.match(/\{"level".*$/gm)?.map((line) => JSON.parse(line)) ?? [];
  }

  says(service: string, beginning: string): Promise<LogLine> {
    const look = async () => (await this.log(service)).find(({ msg }) => msg.startsWith(beginning));
    return until(look, `${service} to say "${beginning}…"`, 60_000);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.compose("--profile", "demo", "down", "--volumes", "--rmi", "local", "--timeout", "2");
    await rm(this.folder, { recursive: true, force: true });
  }
}
