import type { Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { instantOf, msOf } from "../instant.ts";
import { createServer } from "../node-http.ts";
import type { Status } from "../status.ts";
import type { Metrics } from "./metrics.ts";

export interface HttpOptions {
  host: string;
  /** 0 takes any free one. */
  port: number;
  status: Status;
  metrics: Metrics;
  /** How long the loop may be silent beyond what it announced: a slow request, a long transaction. */
  stuckAfterMs: number;
}

export interface HttpServer {
  port: number;
  close: () => Promise<void>;
}

/** Serves /livez, /readyz, /status and /metrics; nothing can be changed through it. Rejects when it can't listen. */
export async function startHttp(options: HttpOptions): Promise<HttpServer> {
  const { host, port } = options;
  const server = createServer({
    requestTimeout: 5_000,
    headersTimeout: 5_000,
    connectionsCheckingInterval: 1_000,
    maxHeaderSize: 16_384,
  });
  // A reader that does not read must not keep its place for ever: there are only so many.
  server.setTimeout(5_000);
  // Else hundreds of requests sent at once would all be answered before anyone looks whether the client reads.
  server.maxRequestsPerSocket = 1;
  server.on("dropRequest", (_, socket) => socket.destroy());
  limitConnections(server, 50);
  server.on("request", (request, response) => {
    const path = (request.url ?? "/").replace(/[?#].*$/s, "");
    answer(request.method ?? "", path, response, options).catch(() => response.destroy());
  });
  await listen(server, host, port);
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** The oldest gives way: an answer takes a millisecond, so who has been there for longest is least likely to be a probe. */
function limitConnections(server: Server, most: number): void {
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    const [oldest] = sockets;
    if (sockets.size > most) oldest?.destroy();
  });
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

async function answer(
  method: string,
  path: string,
  response: ServerResponse,
  { status, metrics, stuckAfterMs }: HttpOptions,
): Promise<void> {
  if (method !== "GET" && method !== "HEAD") {
    response.setHeader("allow", "GET, HEAD");
    return send(response, 405, "only GET is answered here\n");
  }
  switch (path) {
    case "/livez":
      return sendHealth(response, isTurning(status, stuckAfterMs) ? undefined : "the loop does not turn");
    case "/readyz":
      return sendHealth(response, unreadyBecause(status));
    case "/status":
      return send(response, 200, `${JSON.stringify(describe(status), null, 2)}\n`, "application/json");
    case "/metrics":
      return send(response, 200, await metrics.registry.metrics(), metrics.registry.contentType);
    default:
      return send(response, 404, "try /livez, /readyz, /status or /metrics\n");
  }
}

function send(response: ServerResponse, code: number, body: string, type = "text/plain; charset=utf-8"): void {
  response.writeHead(code, { "content-type": type, "cache-control": "no-store", connection: "close" });
  response.end(body);
}

function sendHealth(response: ServerResponse, trouble: string | undefined): void {
  send(response, trouble === undefined ? 200 : 503, `${trouble ?? "ok"}\n`);
}

/** Ready: the last step was good, which takes a database that answers and is migrated; or another replica does it. */
function unreadyBecause(status: Status): string | undefined {
  if (status.state === "failing" || status.state === "refused") {
    return `${status.state}: ${status.lastTrouble?.trouble.message ?? "unknown"}`;
  }
  if (status.state === "stopping") return "stopping";
  if (status.state !== "starting") return undefined;
  return `starting: ${status.migrated ? "the first poll has not ended" : "the database was not reached"} yet`;
}

function isTurning(status: Status, stuckAfterMs: number): boolean {
  return Date.now() < msOf(status.restsUntil) + stuckAfterMs;
}

/** The JSON of /status. Instants are ISO 8601 in UTC, durations seconds; null is not known yet. */
function describe(status: Status): Record<string, unknown> {
  const now = instantOf(Date.now());
  const last = status.lastTrouble;
  return {
    ...status.identity,
    state: status.state,
    since: status.since,
    started_at: status.startedAt,
    position: status.position ?? null,
    history: status.history === undefined ? null : describeHistory(status.history),
    caught_up_at: status.caughtUpAt ?? null,
    lag_seconds: status.lagSeconds(now) ?? null,
    unrecoverable_in_seconds: status.unrecoverableInSeconds(now) ?? null,
    failures_in_a_row: status.failures,
    last_error: last === undefined ? null : { at: last.at, ...describeTrouble(last.trouble) },
    since_start: { events_inserted: status.inserted, ...status.counts },
  };
}

/** `read` is a share from 0 to 1. */
function describeHistory({ share, secondsLeft }: NonNullable<Status["history"]>) {
  return { read: share, seconds_left: secondsLeft ?? null };
}

function describeTrouble({ code, message, hint, requestId }: NonNullable<Status["lastTrouble"]>["trouble"]) {
  return { code, message, what_to_do: hint ?? null, request_id: requestId ?? null };
}
