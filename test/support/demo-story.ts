import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { SimulatedApi } from "./simulated-api.ts";
import { EventGenerator, type SimulatedEvent } from "./simulated-events.ts";
import { SeededRandom } from "./simulated-random.ts";

// The demo's account is told again in the same words after a restart, so that the mirror's cursor is known.

export class StoryError extends Error {}

interface Story {
  seed: number;
  /** When the demo was started first: before it lie three weeks of history. */
  begunAt: number;
  /** When it ran. Then there are two events a second; in between, one every four minutes. */
  runs: { from: number; to: number }[];
}

const storyFile = fileURLToPath(new URL("../../.data/demo.json", import.meta.url));
const tickMs = 500;
const restMs = 4 * 60_000;
const historyMs = 21 * 24 * 3_600_000;

/** Everything that has happened so far, and a way to let things go on happening. */
export function recallStory(): { events: SimulatedEvent[]; goOn: (api: SimulatedApi) => Disposable } {
  const story = readStory();
  const teller = new Teller(story.seed);
  const chapters = [teller.rest(story.begunAt - historyMs, story.begunAt)];
  let toldUntil = story.begunAt;
  for (const { from, to } of story.runs) {
    chapters.push(teller.rest(toldUntil, from), teller.run(from, to));
    toldUntil = to;
  }
  const startedAt = Math.max(Date.now(), toldUntil);
  const run = { from: startedAt, to: startedAt };
  story.runs.push(run);
  chapters.push(teller.rest(toldUntil, startedAt));
  const tell = (api: SimulatedApi) => {
    const from = run.to;
    const now = Date.now();
    run.to = Math.max(from, now - ((now - run.from) % tickMs));
    // Written down before it is told: a kill -9 in between must not leave a cursor that the next start does not know.
    writeStory(story);
    api.emit(teller.run(from, run.to));
    api.requests.length = 0;
  };
  return { events: chapters.flat(), goOn: (api) => every(tickMs, () => tell(api)) };
}

/** At once and then again and again, until it fails or is disposed of. */
function every(intervalMs: number, work: () => void): Disposable {
  work();
  const timer = setInterval(() => {
    try {
      work();
    } catch (error) {
      clearInterval(timer);
      console.error(`The simulated WorkOS has fallen silent: ${error instanceof Error ? error.message : error}`);
    }
  }, intervalMs);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/** The same calls in the same order tell the same events. */
class Teller {
  readonly #generator: EventGenerator;
  readonly #random: SeededRandom;

  constructor(seed: number) {
    this.#generator = new EventGenerator(seed);
    this.#random = new SeededRandom(seed);
  }

  rest(from: number, to: number): SimulatedEvent[] {
    return this.#generator.history({ count: Math.floor((to - from) / restMs), from, to });
  }

  /** Both ends are whole ticks. */
  run(from: number, to: number): SimulatedEvent[] {
    const events: SimulatedEvent[] = [];
    for (let at = from; at < to; at += tickMs) {
      for (let count = this.#random.integer(3); count > 0; count -= 1) events.push(this.#generator.next(at));
    }
    return events;
  }
}

function readStory(): Story {
  try {
    return JSON.parse(readFileSync(storyFile, "utf8"));
  } catch {
    return { seed: 1, begunAt: Date.now(), runs: [] };
  }
}

function writeStory(story: Story): void {
  try {
    writeFileSync(`${storyFile}.new`, JSON.stringify(story));
    renameSync(`${storyFile}.new`, storyFile);
  } catch (error) {
    const reason = error instanceof Error ? error.message : error;
    throw new StoryError(`The demo cannot write down where it is (${reason}). Make .data writable, and not full.`);
  }
}
