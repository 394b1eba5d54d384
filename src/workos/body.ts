import type { Readable } from "node:stream";
import { messageOf, Trouble } from "../trouble.ts";

/** The answer is larger than it may be: to be asked for again in smaller pieces. */
export class TooLarge extends Error {
  override readonly name = "TooLarge";
  readonly bytes: number;

  constructor(bytes: number) {
    super(`the answer is larger than ${bytes} bytes`);
    this.bytes = bytes;
  }
}

/**
 * Reads the whole body as UTF-8, counted after decompression. Throws TooLarge beyond `largest` bytes, a Trouble when
 * the body breaks off or is no UTF-8: decoding it all the same would change what the API sent.
 */
export async function readBody(body: Readable, largest: number): Promise<{ text: string; bytes: number }> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of chunksOf(body)) {
    bytes += chunk.byteLength;
    if (bytes > largest) throw new TooLarge(largest);
    chunks.push(chunk);
  }
  try {
    return { text: new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks)), bytes };
  } catch (cause) {
    throw new Trouble("GET /events: the answer is not valid UTF-8", { kind: "passing", code: "page_not_utf8", cause });
  }
}

async function* chunksOf(body: Readable): AsyncGenerator<Buffer> {
  try {
    yield* body;
  } catch (cause) {
    throw new Trouble(`GET /events: the answer broke off: ${messageOf(cause)}`, {
      kind: "passing",
      code: "page_broken_off",
      status: 200, // of another answer it does not matter how much came
      cause,
    });
  }
}
