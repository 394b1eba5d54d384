import type { Figure, Section } from "./tools/figures.ts";
import type { BenchPostgres } from "./tools/postgres.ts";

/** What a section is handed. */
export interface Bench {
  postgres: BenchPostgres;
  /** How often each thing is measured; undefined: as often as the section finds right. */
  rounds: number | undefined;
  /** How long things that take a while are measured; undefined: as long as the section finds right. */
  seconds: number | undefined;
  /** All was asked for: time does not matter. */
  isFull: boolean;
  /** Whether this part is to be measured: `--only` names it, or, without, it is no extra or all was asked for. */
  wants: (name: string, isExtra?: boolean) => boolean;
  /** Shows figures at once: the section goes on for minutes. */
  tell: (figures: readonly Figure[]) => void;
}

export type Measure = (bench: Bench) => Promise<Section>;
