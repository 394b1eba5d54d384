import { text } from "node:stream/consumers";
import { get } from "./node-http.ts";

// Docker's HEALTHCHECK, a program of its own: it starts every few seconds, so it loads nothing of the mirror. Healthy is
// what says on /livez that its loop turns, and what was told to serve no HTTP.

/** Less than Docker's own limit, after which nothing would be said; this program has to start, too. */
const ANSWER_WITHIN_MS = 3_000;

const port = process.env.HTTP_PORT?.trim() || "8080";
if (port === "off") end(0, "HTTP_PORT is off: there is nobody to ask");
else ask(hostOf(process.env.HTTP_HOST?.trim()), port);

/** Who listens on all addresses is asked on loopback. */
function hostOf(listening: string | undefined): string {
  if (listening === "::") return "::1";
  return listening === undefined || listening === "" || listening === "0.0.0.0" ? "127.0.0.1" : listening;
}

function ask(host: string, port: string): void {
  setTimeout(() => end(1, `no answer from ${host}:${port} within ${ANSWER_WITHIN_MS / 1000} s`), ANSWER_WITHIN_MS);
  get({ host, port, path: "/livez" }, (answer) => {
    const code = answer.statusCode === 200 ? 0 : 1;
    text(answer).then((body) => end(code, body.trim()), failed);
  }).on("error", failed);
}

function failed({ message }: Error): void {
  end(1, message);
}

function end(code: 0 | 1, message: string): void {
  console.log(message);
  process.exit(code);
}
