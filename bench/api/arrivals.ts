/** When requests arrived, in ms since the process began. */
export class Arrivals {
  #times: number[] = [];
  /** Of the oldest one that still counts against the limit. */
  #granted: number[] = [];

  get count(): number {
    return this.#times.length;
  }

  get first(): number | undefined {
    return this.#times[0];
  }

  add(at: number): void {
    this.#times.push(at);
  }

  reset(): void {
    this.#times = [];
  }

  /** Whether the limit leaves room for this one; those that it refuses do not count. */
  grant(at: number, { requests, perMs }: { requests: number; perMs: number }): boolean {
    while (this.#granted.length > 0 && at - (this.#granted[0] ?? at) >= perMs) this.#granted.shift();
    if (this.#granted.length >= requests) return false;
    this.#granted.push(at);
    return true;
  }

  /** The largest number that arrived within any stretch of this length. */
  mostWithin(lengthMs: number): number {
    let first = 0;
    let most = 0;
    for (const [last, at] of this.#times.entries()) {
      while (at - (this.#times[first] ?? at) >= lengthMs) first += 1;
      most = Math.max(most, last - first + 1);
    }
    return most;
  }

  /** The shortest time that held one more than so many. Infinite when there never were that many. */
  shortestOf(count: number): number {
    let shortest = Number.POSITIVE_INFINITY;
    for (let last = count; last < this.#times.length; last += 1) {
      shortest = Math.min(shortest, (this.#times[last] ?? 0) - (this.#times[last - count] ?? 0));
    }
    return shortest;
  }
}
