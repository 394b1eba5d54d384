import type { ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { Fault } from "./simulated-faults.ts";

export interface Answer {
  status: number;
  headers: Record<string, string>;
  body: string;
  /** How many events it lists, when it is a page. */
  events?: number;
}

const pieceMs = 20;
const paddingPiece = Buffer.alloc(1024 * 1024, " ");

/** Sends the answer as a good server would, or as the fault wants it. */
export async function deliver(
  response: ServerResponse,
  answer: Answer,
  fault: Fault | undefined,
  closing: AbortSignal,
): Promise<void> {
  if (response.destroyed) return;
  const body = Buffer.from(answer.body);
  const half = body.subarray(0, body.length >>> 1);
  switch (fault?.kind) {
    case "truncated":
      return send(response, answer, half);
    case "hangMidBody":
      return begin(response, answer, body.length, half);
    case "resetMidBody":
      await begin(response, answer, body.length, half);
      response.destroy();
      return;
    case "slowDrip":
      return drip(response, answer, body, fault.bytesPerSecond, closing);
    case "huge":
      return pad(response, answer, fault);
    default:
      return send(response, answer, body);
  }
}

async function send(response: ServerResponse, answer: Answer, body: Buffer): Promise<void> {
  response.writeHead(answer.status, { ...answer.headers, "content-length": body.length });
  response.end(body);
}

async function begin(response: ServerResponse, answer: Answer, length: number, part: Buffer): Promise<void> {
  response.writeHead(answer.status, { ...answer.headers, "content-length": length });
  await write(response, part);
}

/** Resolves when the bytes have left, or never will because the other side is gone. */
function write(response: ServerResponse, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    response.once("close", resolve);
    response.write(bytes, () => {
      response.off("close", resolve);
      resolve();
    });
  });
}

async function drip(
  response: ServerResponse,
  answer: Answer,
  body: Buffer,
  bytesPerSecond: number,
  closing: AbortSignal,
): Promise<void> {
  const pieceBytes = Math.max(1, Math.round((bytesPerSecond * pieceMs) / 1000));
  const restMs = (pieceBytes / bytesPerSecond) * 1000;
  response.writeHead(answer.status, { ...answer.headers, "content-length": body.length });
  for (let sent = 0; sent < body.length && !response.destroyed; sent += pieceBytes) {
    await write(response, body.subarray(sent, sent + pieceBytes));
    await sleep(restMs, undefined, { signal: closing });
  }
  response.end();
}

/** White space after the first brace changes nothing but the size. */
async function pad(
  response: ServerResponse,
  answer: Answer,
  huge: { bytes: number; declared: boolean },
): Promise<void> {
  const body = Buffer.from(answer.body);
  const padding = Math.max(0, Math.ceil((huge.bytes * (answer.events ?? 0)) / 100) - body.length);
  const length = huge.declared ? { "content-length": body.length + padding } : {};
  response.writeHead(answer.status, { ...answer.headers, ...length });
  await write(response, body.subarray(0, 1));
  for (let sent = 0; sent < padding && !response.destroyed; sent += paddingPiece.length) {
    await write(response, paddingPiece.subarray(0, padding - sent));
  }
  response.end(body.subarray(1));
}
