import { createMetrics, type Metrics } from "../../src/http/metrics.ts";
import { type HttpServer, startHttp } from "../../src/http/server.ts";
import { Status } from "../../src/status.ts";

export interface Served extends HttpServer, AsyncDisposable {
  status: Status;
  metrics: Metrics;
  ask: (path: string, init?: RequestInit) => Promise<Response>;
  /** The code and the body. */
  answer: (path: string, init?: RequestInit) => Promise<[number, string]>;
}

/** The endpoints of a mirror that was started then and has done nothing yet. */
export async function serveHttp(startedAt: string): Promise<Served> {
  const status = new Status({ version: "1.2.3", environment: "production", filter: "*" }, startedAt);
  const metrics = createMetrics(status);
  const http = await startHttp({ host: "127.0.0.1", port: 0, status, metrics, stuckAfterMs: 60_000 });
  const ask = (path: string, init?: RequestInit) => fetch(`http://127.0.0.1:${http.port}${path}`, init);
  return {
    ...http,
    status,
    metrics,
    ask,
    answer: async (path, init) => {
      const response = await ask(path, init);
      return [response.status, await response.text()];
    },
    [Symbol.asyncDispose]: http.close,
  };
}
