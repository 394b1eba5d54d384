import { execFile } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { networkInterfaces } from "node:os";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { createMetrics } from "../src/http/metrics.ts";
import { startHttp } from "../src/http/server.ts";
import { instantOf } from "../src/instant.ts";
import { Status } from "../src/status.ts";
import { freePort } from "./support/free-port.ts";

const program = fileURLToPath(new URL("../dist/healthcheck.js", import.meta.url));

const HAS_IPV6 = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === "::1"));

/** The exit code and what Docker would keep of it. */
async function healthcheck(env: Record<string, string>): Promise<[number, string]> {
  const child = execFile(process.execPath, [program], { env });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (text) => {
      said += text;
    });
  }
  const [code] = await once(child, "close");
  return [code, said];
}

/** The daemon's endpoints, with a loop that last turned at this time. */
async function serve(turnedMs: number, host = "127.0.0.1") {
  const status = new Status({ version: "1.2.3", environment: "default", filter: "*" }, instantOf(turnedMs));
  return startHttp({ host, port: 0, status, metrics: createMetrics(status), stuckAfterMs: 60_000 });
}

test("is well while the loop turns, and says why it is not", async () => {
  const turning = await serve(Date.now());
  const stuck = await serve(Date.now() - 61_000);
  const nobody = await freePort();
  const answers = await Promise.all(
    [turning.port, stuck.port, nobody].map((port) => healthcheck({ HTTP_PORT: String(port) })),
  );
  expect(answers).toEqual([
    [0, "ok\n"],
    [1, "the loop does not turn\n"],
    [1, `connect ECONNREFUSED 127.0.0.1:${nobody}\n`],
  ]);
  await Promise.all([turning.close(), stuck.close()]);
});

test("is not well when the process takes the question and never answers, or breaks off", async () => {
  const silent = createServer(() => undefined).listen(0, "127.0.0.1");
  const broken = createServer((_, response) => {
    response.writeHead(200, { "content-length": "100" });
    response.write("ok", () => response.destroy());
  }).listen(0, "127.0.0.1");
  await Promise.all([once(silent, "listening"), once(broken, "listening")]);
  const ports = [silent, broken].map((server) => (server.address() as AddressInfo).port);
  const answers = await Promise.all(ports.map((port) => healthcheck({ HTTP_PORT: String(port) })));
  expect(answers).toEqual([
    [1, `no answer from 127.0.0.1:${ports[0]} within 3 s\n`],
    [1, "aborted\n"],
  ]);
  for (const server of [silent, broken]) server.close().closeAllConnections();
});

test("asks where the daemon listens, and nobody when HTTP is off", async () => {
  const hosts = ["0.0.0.0", ...(HAS_IPV6 ? ["::1", "::"] : [])];
  const servers = await Promise.all(hosts.map((host) => serve(Date.now(), host)));
  const answers = await Promise.all(
    servers.map(({ port }, index) => healthcheck({ HTTP_HOST: hosts[index] ?? "", HTTP_PORT: String(port) })),
  );
  expect(answers).toEqual(hosts.map(() => [0, "ok\n"]));
  expect(await healthcheck({ HTTP_PORT: "off" })).toEqual([0, "HTTP_PORT is off: there is nobody to ask\n"]);
  await Promise.all(servers.map(({ close }) => close()));
});
