import { execFile } from "node:child_process";
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseEnv, promisify } from "node:util";
import { PodMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PodMonitor";
import { Deployment } from "kubernetes-models/apps/v1/Deployment";
import { NetworkPolicy } from "kubernetes-models/networking.k8s.io/v1/NetworkPolicy";
import { PodDisruptionBudget } from "kubernetes-models/policy/v1/PodDisruptionBudget";
import { Secret } from "kubernetes-models/v1/Secret";
import { beforeAll, describe, expect, test } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { parseConfig } from "../../src/config.ts";
import { VARIABLES } from "../../src/variables.ts";
import { findMistakes, type Manifest } from "../support/kubernetes-schema.ts";
import { serveHttp } from "../support/served-http.ts";

const base = fileURLToPath(new URL("../../deploy/kubernetes/", import.meta.url));
const labels = { "app.kubernetes.io/name": "workos-events-mirror" };
const name = "workos-events-mirror";

const read = (file: string) => readFile(join(base, file), "utf8");
const manifestsIn = (text: string): Manifest[] => parseAllDocuments(text).map((document) => document.toJS());

async function filesIn(folder: string, ending: RegExp): Promise<string[]> {
  return (await readdir(join(base, folder))).filter((file) => ending.test(file)).map((file) => join(folder, file));
}

/** All that are no kustomization, in the base and its component. */
async function manifestFiles(): Promise<string[]> {
  const files = [...(await filesIn("", /\.yaml$/)), ...(await filesIn("pod-monitor", /\.yaml$/))];
  return files.filter((file) => basename(file) !== "kustomization.yaml");
}

const deployment = new Deployment(parse(await read("deployment.yaml")));
const pod = deployment.spec?.template.spec;
const [container] = pod?.containers ?? [];
const settings = await read("settings.env");
const secret = new Secret(parse(await read("secret.example.yaml")));

// ---- What Kubernetes says ---------------------------------------------------------------------------------------

test("every manifest is one that Kubernetes knows, down to the last field", async () => {
  const texts = await Promise.all((await manifestFiles()).map(read));
  const manifests = texts.flatMap(manifestsIn);
  expect(manifests.map(({ kind }) => kind).sort()).toEqual([
    "Deployment",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "PodMonitor",
    "Secret",
    "ServiceAccount",
  ]);
  expect(await findMistakes(manifests)).toEqual([]);
});

test("the check sees a missing field, a wrong value and a misspelt name", async () => {
  const [first] = manifestsIn(await read("deployment.yaml"));
  if (first === undefined) throw new Error("there is no deployment");
  const spoilt = (from: RegExp, to: string): Manifest => JSON.parse(JSON.stringify(first).replace(from, to));
  expect(await findMistakes([spoilt(/"selector":{.*?}},/, "")])).toContainEqual(expect.stringMatching(/selector/));
  expect(await findMistakes([spoilt(/256Mi/, "256Mx")])).toContainEqual(expect.stringMatching(/memory/));
  expect(await findMistakes([spoilt(/readOnlyRootFilesystem/, "readOnlyRootFileSystem")])).toContainEqual(
    expect.stringMatching(/readOnlyRootFileSystem/),
  );
});

test("the kustomization holds every file of its folder, except the example of a Secret", async () => {
  for (const folder of ["", "pod-monitor"]) {
    const { resources } = parse(await read(join(folder, "kustomization.yaml")));
    const others = (await filesIn(folder, /\.yaml$/)).map((file) => basename(file));
    expect([...resources, "kustomization.yaml", ...(folder === "" ? ["secret.example.yaml"] : [])].sort()).toEqual(
      others.sort(),
    );
  }
});

const kubectl = await promisify(execFile)("kubectl", ["version", "--client"]).then(
  () => true,
  () => false,
);

describe.skipIf(!kubectl)("kubectl kustomize", () => {
  async function render(change: (kustomization: string) => string = (text) => text): Promise<Manifest[]> {
    const folder = await mkdtemp(join(tmpdir(), "workos-events-mirror-kustomize-"));
    try {
      await cp(base, folder, { recursive: true });
      await writeFile(join(folder, "kustomization.yaml"), change(await read("kustomization.yaml")));
      return manifestsIn((await promisify(execFile)("kubectl", ["kustomize", folder])).stdout);
    } finally {
      await rm(folder, { recursive: true });
    }
  }

  test("renders the base, with the settings by their content", async () => {
    const manifests = await render();
    expect(await findMistakes(manifests)).toEqual([]);
    const rendered = JSON.stringify(manifests);
    expect(rendered).toMatch(/"image":"ghcr\.io\/OWNER\/workos-events-mirror:\d/);
    const map = manifests.find(({ kind }) => kind === "ConfigMap");
    expect(map).toMatchObject({ data: parseEnv(settings) });
    expect(rendered).toContain(JSON.stringify({ configMapRef: { name: map?.metadata.name } }));
  });

  test("adds the PodMonitor when its two lines are no comments any more", async () => {
    const manifests = await render((text) => text.replace("# components:", "components:").replace(/# {3}- /, "  - "));
    expect(manifests.map(({ kind }) => kind)).toContain("PodMonitor");
  });
});

// ---- What must agree with each other ----------------------------------------------------------------------------

test("everything selects the pods of the deployment, and nothing else", async () => {
  const policy = new NetworkPolicy(parse(await read("network-policy.yaml")));
  const budget = new PodDisruptionBudget(parse(await read("disruption-budget.yaml")));
  const monitor = new PodMonitor(parse(await read("pod-monitor/pod-monitor.yaml")));
  expect(deployment.spec?.template.metadata?.labels).toEqual(labels);
  expect([
    deployment.spec?.selector.matchLabels,
    policy.spec?.podSelector?.matchLabels,
    budget.spec?.selector?.matchLabels,
    monitor.spec.selector.matchLabels,
    ...(pod?.topologySpreadConstraints ?? []).map(({ labelSelector }) => labelSelector?.matchLabels),
  ]).toEqual(Array(5).fill(labels));
  for (const file of await manifestFiles()) {
    for (const { metadata } of manifestsIn(await read(file))) expect(metadata, file).toEqual({ name, labels });
  }
});

test("the pod keeps to Kubernetes' restricted profile, and has no way to Kubernetes", () => {
  expect(pod?.securityContext).toMatchObject({
    runAsNonRoot: true,
    runAsUser: 1000,
    seccompProfile: { type: "RuntimeDefault" },
  });
  expect(container?.securityContext).toEqual({
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ["ALL"] },
  });
  expect([
    pod?.hostNetwork,
    pod?.hostPID,
    pod?.hostIPC,
    pod?.automountServiceAccountToken,
    pod?.containers.length,
  ]).toEqual([undefined, undefined, undefined, false, 1]);
});

test("the image is the one of this version", async () => {
  const { version } = parse(await readFile(new URL("../../package.json", import.meta.url), "utf8"));
  const { images } = parse(await read("kustomization.yaml"));
  expect(images).toEqual([{ name: container?.image, newName: "ghcr.io/OWNER/workos-events-mirror", newTag: version }]);
});

test("two replicas, one of which always stays", async () => {
  const budget = new PodDisruptionBudget(parse(await read("disruption-budget.yaml")));
  expect([deployment.spec?.replicas, deployment.spec?.strategy?.rollingUpdate, budget.spec?.minAvailable]).toEqual([
    2,
    { maxSurge: 1, maxUnavailable: 0 },
    1,
  ]);
});

// ---- What must agree with the program ---------------------------------------------------------------------------

/** What the program makes of the environment and the files that it gets to see. */
function configOf(settingsText: string) {
  const env: Record<string, string | undefined> = { ...parseEnv(settingsText) };
  for (const { name: variable, value } of container?.env ?? []) env[variable] = value;
  const [mount] = container?.volumeMounts ?? [];
  const files = new Map(
    Object.entries(secret.stringData ?? {}).map(([key, value]) => [`${mount?.mountPath}/${key}`, value]),
  );
  return parseConfig({
    env,
    readFile: (path) => files.get(path) ?? expect.fail(`nothing is mounted at ${path}`),
    now: "2026-08-01T12:00:00.000000Z",
    needsKey: true,
    knownEvents: [],
  });
}

test("the program takes the configuration, and finds both secrets where they are mounted", () => {
  expect(configOf(settings)).toMatchObject({
    apiKey: { file: "/etc/workos-events-mirror/WORKOS_API_KEY" },
    database: { host: "host", port: 5432, dbname: "database", user: "user", password: "password" },
    databaseUrlFile: "/etc/workos-events-mirror/DATABASE_URL",
    environment: "default",
    http: { host: "0.0.0.0", port: container?.ports?.[0]?.containerPort },
    warnings: [],
  });
  expect(pod?.volumes).toEqual([
    { name: "secrets", secret: { secretName: secret.metadata?.name, defaultMode: 0o440 } },
  ]);
  expect(pod?.securityContext?.fsGroup, "else the program could not read the mode above").toBe(1000);
});

test("the settings name every variable that is no secret, and none that the program does not read", () => {
  const named = [...settings.matchAll(/^(?:# )?([A-Z_]+)=/gm)].map(([, variable]) => variable);
  const secrets = new Set(["WORKOS_API_KEY", "WORKOS_API_KEY_FILE", "DATABASE_URL", "DATABASE_URL_FILE"]);
  expect(named.sort()).toEqual(VARIABLES.filter((variable) => !secrets.has(variable)).sort());
  const known: readonly string[] = VARIABLES;
  expect((container?.env ?? []).filter(({ name: variable }) => !known.includes(variable))).toEqual([]);
});

test("what the settings have as a comment is the default", () => {
  const spelledOut = settings.replace(/^# (?=[A-Z_]+=.)/gm, "");
  expect(spelledOut).not.toBe(settings);
  expect(JSON.stringify(configOf(spelledOut))).toBe(JSON.stringify(configOf(settings)));
});

describe("the endpoints", () => {
  const paths = new Map<string, number>();
  beforeAll(async () => {
    await using http = await serveHttp("2026-08-01T12:00:00.000000Z");
    for (const path of ["/livez", "/readyz", "/metrics"]) paths.set(path, (await http.ask(path)).status);
  });

  test("the probes ask what the program serves", () => {
    const probes = [container?.startupProbe, container?.livenessProbe, container?.readinessProbe];
    expect(probes.map((probe) => probe?.httpGet)).toEqual([
      { path: "/livez", port: "http" },
      { path: "/livez", port: "http" },
      { path: "/readyz", port: "http" },
    ]);
    expect([...paths.values()], "none is unknown to it").not.toContain(404);
  });

  test("who scrapes finds the metrics, and the port is open for it", async () => {
    const monitor = new PodMonitor(parse(await read("pod-monitor/pod-monitor.yaml")));
    const policy = new NetworkPolicy(parse(await read("network-policy.yaml")));
    expect(container?.ports).toEqual([{ name: "http", containerPort: 8080 }]);
    expect(monitor.spec.podMetricsEndpoints).toEqual([{ port: "http", path: "/metrics" }]);
    expect(deployment.spec?.template.metadata?.annotations).toEqual({
      "prometheus.io/scrape": "true",
      "prometheus.io/port": "8080",
      "prometheus.io/path": "/metrics",
    });
    expect(policy.spec?.ingress).toEqual([{ ports: [{ port: "http", protocol: "TCP" }] }]);
    expect(policy.spec?.egress?.flatMap(({ ports }) => ports?.map(({ port }) => port))).toEqual([53, 53, 443, 5432]);
  });
});
