const crockford = [..."0123456789ABCDEFGHJKMNPQRSTVWXYZ"];
const pairs = crockford.flatMap((first) => crockford.map((second) => first + second));

/** Random numbers that depend on the seed alone (sfc32), so that a failing run can be had again. */
export class SeededRandom {
  private a = 0x9e3779b9;
  private b = 0x243f6a88;
  private c: number;
  private counter = 1;

  constructor(seed: number) {
    this.c = seed | 0;
    for (let round = 0; round < 16; round += 1) this.bits();
  }

  /** An integer from 0 to 2^32 - 1. */
  bits(): number {
    const sum = (this.a + this.b + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = (((this.c << 21) | (this.c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  /** A number from 0 up to, but not including, 1. */
  fraction(): number {
    return this.bits() / 0x1_0000_0000;
  }

  /** An integer from 0 up to, but not including, `below`. */
  integer(below: number): number {
    return Math.floor(this.fraction() * below);
  }

  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  pick<Item>(items: readonly [Item, ...Item[]]): Item {
    return items[this.integer(items.length)] ?? items[0];
  }

  /** `length` characters of Crockford's alphabet, 5 random bits each; `length` is even. */
  characters(length: number): string {
    let text = "";
    let bits = 0;
    for (let pair = 0; pair < length / 2; pair += 1) {
      bits = pair % 3 === 0 ? this.bits() : bits >>> 10;
      text += pairs[bits & 1023] ?? "";
    }
    return text;
  }

  /** A decimal integer of exactly `length` digits, as text: it may be far beyond 2^53. */
  digits(length: number): string {
    let text = String(1 + this.integer(9));
    while (text.length < length) text += this.integer(10);
    return text;
  }
}

/** An id: a ULID after its prefix, 10 characters of time, then 16 random ones that sort anyhow. */
export function newId(prefix: string, timeMs: number, random: SeededRandom): string {
  const milliseconds = Math.floor(timeMs);
  let time = "";
  for (let unit = 1024 ** 4; unit >= 1; unit /= 1024) time += pairs[Math.floor(milliseconds / unit) % 1024] ?? "";
  // join, unlike +, makes one flat string: a million ids would otherwise drag all their pieces along.
  return [prefix, "_", time, random.characters(16)].join("");
}
