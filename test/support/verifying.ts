import type { Comparer, EventFilter, Store } from "../../src/event.ts";
import type { Findings } from "../../src/findings.ts";
import { type Instant, instantOf } from "../../src/instant.ts";
import type { News } from "../../src/news.ts";
import { createComparer } from "../../src/postgres/compare.ts";
import { createPool } from "../../src/postgres/connect.ts";
import { createStore } from "../../src/postgres/store.ts";
import { Trouble } from "../../src/trouble.ts";
import { Verification } from "../../src/verification.ts";
import { DAY, type MirrorBench, partsFor } from "./mirror-bench.ts";

export interface VerifySettings {
  /** 89 days ago, if not said otherwise. */
  since?: Instant | undefined;
  until?: Instant | undefined;
  repairs?: boolean;
  lists?: boolean;
  filter?: EventFilter;
  environment?: string;
  concurrency?: number | "auto";
  pageSize?: number;
  patienceMs?: number;
  /** Something else in the place of these, made out of them. */
  wrap?: (parts: Wrapped) => Partial<Wrapped>;
}

type Wrapped = { comparer: Comparer; store: Pick<Store, "saveEvents"> };

/** A verification in this process, of what a MirrorBench has mirrored. */
export class VerifyBench implements AsyncDisposable {
  readonly verification: Verification;
  readonly news: News[] = [];
  readonly #pool: ReturnType<typeof createPool>;

  constructor({ api, database }: MirrorBench, settings: VerifySettings = {}) {
    const { since = instantOf(Date.now() - 89 * DAY), until = instantOf(Date.now()), filter = {} } = settings;
    const { repairs = false, lists = true, environment = "default", pageSize = 10, concurrency = 8 } = settings;
    this.#pool = createPool({ url: database.url, applicationName: "workos-events-mirror test" });
    const parts = { comparer: createComparer(this.#pool), store: createStore(this.#pool) };
    this.verification = new Verification(
      {
        ...partsFor(api, { filter, pageSize, concurrency }),
        environment,
        patienceMs: settings.patienceMs ?? 0,
        ...parts,
        ...settings.wrap?.(parts),
      },
      { since, until, repairs, lists },
    );
  }

  async step(): Promise<boolean> {
    const { rest, news } = await this.verification.step(new AbortController().signal);
    this.news.push(...news);
    return rest;
  }

  /** Goes on after failures, and answers them. */
  async toEnd(): Promise<unknown[]> {
    const failures: unknown[] = [];
    let rest = false;
    while (!rest) rest = await this.step().catch((error: unknown) => failures.push(error) < 0);
    return failures;
  }

  get found() {
    const { findings } = this.verification;
    const ids = {
      missing: findings.list("missing"),
      different: findings.list("different"),
      extra: findings.list("extra"),
    };
    const { read, repaired, counts } = findings;
    return { read, ...counts, repaired, ids };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.verification.stop();
    await this.#pool.end();
  }
}

/** Verifies to the end, past what passes, and answers what was found. */
export async function verify(bench: MirrorBench, settings: VerifySettings = {}): Promise<Found> {
  await using verifying = new VerifyBench(bench, settings);
  const failures = await verifying.toEnd();
  const lasting = failures.find((error) => !(error instanceof Trouble) || error.kind !== "passing");
  if (lasting !== undefined) throw lasting;
  return { ...verifying.found, findings: verifying.verification.findings, news: verifying.news };
}

export type Found = VerifyBench["found"] & { findings: Findings; news: readonly News[] };
