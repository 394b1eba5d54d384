/** What was done and counted, by name. */
export class Figures {
  readonly #counts = new Map<string, number>();

  count(name: string, by = 1): void {
    this.#counts.set(name, this.of(name) + by);
  }

  of(name: string): number {
    return this.#counts.get(name) ?? 0;
  }

  /** Only what ended without a word: kill -9 of a mirror, of Postgres, or of one of its sessions. */
  get kills(): number {
    return [...this.#counts].reduce((sum, [name, count]) => (name.startsWith("kill -9") ? sum + count : sum), 0);
  }

  add(other: Figures): void {
    for (const [name, count] of other.#counts) this.count(name, count);
  }

  toString(): string {
    return [...this.#counts]
      .toSorted(([one], [other]) => one.localeCompare(other))
      .map(([name, count]) => `${count} ${name}`)
      .join(", ");
  }
}
