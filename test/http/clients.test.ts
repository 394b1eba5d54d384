import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { expect, test } from "vitest";
import type { HttpServer } from "../../src/http/server.ts";
import { serveHttp } from "../support/served-http.ts";

// Clients that mean no good, or don't know better.

const STARTED = "2026-08-01T12:00:00.000000Z";
const serve = () => serveHttp(STARTED);

async function dial({ port }: HttpServer, ...said: string[]): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  await once(socket, "connect");
  for (const text of said) socket.write(text);
  return socket;
}

/** However it comes about: once() would reject when the connection is reset. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => (socket.closed ? resolve() : socket.once("close", () => resolve())));
}

/** All that the server says until it hangs up. */
async function hear(socket: Socket): Promise<string> {
  let heard = "";
  socket.setEncoding("utf8").on("data", (text: string) => {
    heard += text;
  });
  await closed(socket);
  return heard;
}

const statusLines = (heard: string) => heard.match(/^HTTP\/1\.1 .*(?=\r$)/gm) ?? [];

test("headers that are too large are refused, and so is an address that is", async () => {
  await using http = await serve();
  for (const request of [
    `GET /livez HTTP/1.1\r\nHost: a\r\nX: ${"x".repeat(20_000)}\r\n\r\n`,
    `GET /${"x".repeat(20_000)} HTTP/1.1\r\nHost: a\r\n\r\n`,
    `GET /livez HTTP/1.1\r\nHost: a\r\n${"X: y\r\n".repeat(4_000)}\r\n`,
  ]) {
    expect(await hear(await dial(http, request))).toMatch(/^HTTP\/1\.1 431 /);
  }
  expect((await http.ask("/nothing")).status).toBe(404);
});

test.each([
  ["TLS", "\u0016\u0003\u0001 hello\r\n\r\n"],
  ["no host", "GET /livez HTTP/1.1\r\n\r\n"],
  ["two lengths", "GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"],
])("what is not HTTP is refused: %s", async (_, said) => {
  await using http = await serve();
  expect(await hear(await dial(http, said))).toMatch(/^HTTP\/1\.1 400 /);
  expect((await http.ask("/nothing")).status).toBe(404);
});

test("is no proxy", async () => {
  await using http = await serve();
  expect(await hear(await dial(http, "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n"))).toBe("");
  const absolute = "GET http://example.com/metrics HTTP/1.1\r\nHost: example.com\r\n\r\n";
  expect(await hear(await dial(http, absolute))).toMatch(/^HTTP\/1\.1 404 /);
});

test("who hangs up his half after asking still gets the answer", async () => {
  await using http = await serve();
  const client = await dial(http, "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n");
  client.end();
  expect(statusLines(await hear(client))).toEqual(["HTTP/1.1 404 Not Found"]);
});

test("a body is not waited for, however long it says it is", async () => {
  await using http = await serve();
  const body = "x".repeat(100_000);
  const endless = [
    `Content-Length: ${2 ** 40}\r\n\r\n${body}`,
    `Transfer-Encoding: chunked\r\n\r\nffffffff\r\n${body}`,
  ];
  for (const rest of endless) {
    const client = await dial(http, `GET /nothing HTTP/1.1\r\nHost: a\r\n${rest}`);
    expect(statusLines(await hear(client))).toEqual(["HTTP/1.1 404 Not Found"]);
  }
});

// Each /metrics takes a millisecond to write and some twenty kilobytes to keep: 60 kB of requests from each of twenty
// clients that read nothing held the whole program up for seconds and took a gigabyte.
test("who asks again before he was answered is cut off", async () => {
  await using http = await serve();
  let rendered = 0;
  const { metrics } = http.metrics.registry;
  http.metrics.registry.metrics = () => {
    rendered += 1;
    return metrics.call(http.metrics.registry);
  };
  const client = await dial(http, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1_800));
  expect([await hear(client), rendered]).toEqual(["", 1]);
});

test("fifty clients that say nothing keep nobody out: the oldest gives way", async () => {
  await using http = await serve();
  const clients: Socket[] = [];
  for (let count = 0; count < 50; count += 1) clients.push(await dial(http, "GET /livez"));
  expect((await http.answer("/nothing"))[0]).toBe(404);
  const [oldest, ...others] = clients;
  if (oldest === undefined) throw new Error("there were no clients");
  expect(await hear(oldest)).toBe("");
  expect(others.filter((client) => client.closed)).toEqual([]);
  for (const client of clients) client.destroy();
});

test.concurrent.each<[string, string, string, RegExp]>([
  ["says nothing", "", "", /^(HTTP\/1\.1 408 .*)?$/s],
  ["drips its headers", "GET /livez HTTP/1.1\r\nHost: a\r\nX: ", "x", /^HTTP\/1\.1 408 /],
  ["drips its body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 999\r\n\r\n", "x", /^HTTP\/1\.1 405 /],
])("a client that %s keeps its place only for seconds", { timeout: 25_000 }, async (_, said, drop, heard) => {
  await using http = await serve();
  const client = await dial(http, said);
  const dripping = setInterval(() => client.write(drop), 500);
  expect(await hear(client)).toMatch(heard);
  clearInterval(dripping);
});

test("closes at once, whoever is still connected, and twice without harm", { timeout: 4_000 }, async () => {
  const http = await serve();
  const idle = await dial(http);
  const half = await dial(http, "GET /livez HTTP/1.1\r\nHos");
  const gone = [idle, half].map(hear);
  await http.close();
  await Promise.all(gone);
  await http.close();
  await expect(http.ask("/livez")).rejects.toThrow();
});
