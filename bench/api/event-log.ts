import type { SimulatedEvent } from "../../test/support/simulated-events.ts";

/**
 * All events in the order of their time, as one text that is cut where pages begin and end: a page costs no
 * serializing and no copy, and a million events little more memory than their text.
 */
export class EventLog {
  readonly #chunks: { buffer: Buffer; used: number }[] = [];
  readonly #chunkOf: number[] = [];
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];
  readonly #ids: string[] = [];
  readonly #types: string[] = [];
  readonly #times: number[] = [];
  readonly #places = new Map<string, number>();

  get length(): number {
    return this.#ids.length;
  }

  /** Behind all others; it may not be older than the last one. */
  append({ id, event, timeMs, text }: SimulatedEvent): void {
    const bytes = Buffer.byteLength(text);
    const chunk = this.#chunkWithRoomFor(bytes + 1);
    if (chunk.used > 0) chunk.used += chunk.buffer.write(",", chunk.used);
    this.#chunkOf.push(this.#chunks.length - 1);
    this.#starts.push(chunk.used);
    chunk.used += chunk.buffer.write(text, chunk.used);
    this.#ends.push(chunk.used);
    this.#places.set(id, this.#ids.length);
    this.#ids.push(id);
    this.#types.push(event);
    this.#times.push(timeMs);
  }

  placeOf(id: string): number | undefined {
    return this.#places.get(id);
  }

  idAt(place: number): string {
    return this.#ids[place] ?? "";
  }

  typeAt(place: number): string {
    return this.#types[place] ?? "";
  }

  timeAt(place: number): number {
    return this.#times[place] ?? Number.POSITIVE_INFINITY;
  }

  firstAtOrAfter(timeMs: number): number {
    return this.#search((time) => time >= timeMs);
  }

  firstAfter(timeMs: number): number {
    return this.#search((time) => time > timeMs);
  }

  /** The JSON of the events of these places, ascending, with commas between them. */
  textOf(places: readonly number[]): Buffer[] {
    const pieces: Buffer[] = [];
    for (let first = 0; first < places.length; ) {
      const last = this.#endOfRun(places, first);
      const [from, to] = [places[first] ?? 0, places[last] ?? 0];
      const chunk = this.#chunks[this.#chunkOf[from] ?? 0];
      if (pieces.length > 0) pieces.push(comma);
      if (chunk !== undefined) pieces.push(chunk.buffer.subarray(this.#starts[from], this.#ends[to]));
      first = last + 1;
    }
    return pieces;
  }

  /** How far the places follow one another within one chunk. */
  #endOfRun(places: readonly number[], first: number): number {
    let last = first;
    for (let next = places[first] ?? 0; ; last += 1) {
      const isNext = places[last + 1] === ++next && this.#chunkOf[next] === this.#chunkOf[next - 1];
      if (!isNext) return last;
    }
  }

  #chunkWithRoomFor(bytes: number): { buffer: Buffer; used: number } {
    const last = this.#chunks.at(-1);
    if (last !== undefined && last.used + bytes <= last.buffer.length) return last;
    const chunk = { buffer: Buffer.allocUnsafeSlow(Math.max(chunkBytes, bytes)), used: 0 };
    this.#chunks.push(chunk);
    return chunk;
  }

  /** The first place whose time fits; all after it must fit as well. */
  #search(fits: (timeMs: number) => boolean): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (fits(this.timeAt(middle))) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

const chunkBytes = 4 * 1024 * 1024;
const comma = Buffer.from(",");
