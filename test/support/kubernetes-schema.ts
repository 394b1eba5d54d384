import { execFile } from "node:child_process";
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** What every object of Kubernetes says of itself; all else depends on that. */
export interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: { name: string; labels?: Record<string, string> };
}

const nodeModules = fileURLToPath(new URL("../../node_modules", import.meta.url));

/** Where kubernetes-models keeps a kind: its JSON schema as a validator, and its type. */
function moduleOf({ apiVersion, kind }: Manifest): string {
  const scope = apiVersion.startsWith("monitoring.coreos.com/")
    ? "@kubernetes-models/prometheus-operator"
    : "kubernetes-models";
  return `${scope}/${apiVersion}/${kind}`;
}

/** What the API server would refuse, or drop with a warning. */
export async function findMistakes(manifests: readonly Manifest[]): Promise<string[]> {
  const values = await Promise.all(manifests.map(findWrongValues));
  return [...values.flat(), ...(await findUnknownFields(manifests))];
}

/** By the JSON schema: what is missing or of a wrong form. */
async function findWrongValues(manifest: Manifest): Promise<string[]> {
  const { [manifest.kind]: Model } = await import(moduleOf(manifest));
  try {
    new Model(manifest).validate();
    return [];
  } catch (error) {
    return [`${manifest.kind} ${manifest.metadata.name}: ${error instanceof Error ? error.message : error}`];
  }
}

/** The schemas let fields pass that they don't know, the API server does not; the compiler knows all of them. */
async function findUnknownFields(manifests: readonly Manifest[]): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), "workos-events-mirror-manifests-"));
  const lines = manifests.map(
    (manifest, index) =>
      `export const object${index}: import("${moduleOf(manifest)}").I${manifest.kind} = ${JSON.stringify(manifest)};`,
  );
  try {
    await symlink(nodeModules, join(folder, "node_modules"));
    await writeFile(join(folder, "manifests.mts"), `${lines.join("\n")}\n`);
    const options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--pretty", "false"];
    return await run(join(nodeModules, ".bin/tsc"), [...options, "manifests.mts"], folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** The lines that a program prints when it fails. */
function run(program: string, args: string[], cwd: string): Promise<string[]> {
  return new Promise((resolve) => {
    execFile(program, args, { cwd }, (error, stdout) => resolve(error === null ? [] : [...stdout.trim().split("\n")]));
  });
}
