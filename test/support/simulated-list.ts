import type { SimulatedEvent } from "./simulated-events.ts";

/** All events in the order of their time; found by id and by time without a walk through a million of them. */
export class EventList {
  readonly events: SimulatedEvent[];
  private readonly places = new Map<string, number>();

  constructor(events: readonly SimulatedEvent[]) {
    this.events = [...events].sort((one, other) => one.timeMs - other.timeMs);
    this.index(0);
  }

  placeOf(id: string): number | undefined {
    return this.places.get(id);
  }

  at(place: number): SimulatedEvent | undefined {
    return this.events[place];
  }

  get length(): number {
    return this.events.length;
  }

  /** Behind all events that are not later. */
  insert(event: SimulatedEvent): void {
    const place = this.firstAfter(event.timeMs);
    this.events.splice(place, 0, event);
    this.index(place);
  }

  firstAtOrAfter(timeMs: number): number {
    return this.search((event) => event.timeMs >= timeMs);
  }

  firstAfter(timeMs: number): number {
    return this.search((event) => event.timeMs > timeMs);
  }

  /** The place of the first event that fits; all after it must fit as well. */
  private search(fits: (event: SimulatedEvent) => boolean): number {
    let low = 0;
    let high = this.events.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const event = this.events[middle];
      if (event !== undefined && fits(event)) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  private index(from: number): void {
    for (let place = from; place < this.events.length; place += 1) {
      const id = this.events[place]?.id;
      if (id !== undefined && id !== "") this.places.set(id, place);
    }
  }
}
