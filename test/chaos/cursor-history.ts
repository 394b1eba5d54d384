import type { ChaosApi } from "./api.ts";
import type { ChaosPostgres } from "./database.ts";
import { Violation } from "./violation.ts";

interface Place {
  after: string | null;
  at: string;
}

interface Move {
  id: string;
  before: Place;
  behind: Place;
}

/**
 * Every move of every cursor, written down by a trigger: a stale leader that moved one back for a moment would be seen
 * by no look at the table afterwards.
 */
export class CursorHistory {
  readonly #postgres: ChaosPostgres;
  readonly #api: ChaosApi;
  #isWritten = false;
  #last = "0";

  constructor(postgres: ChaosPostgres, api: ChaosApi) {
    this.#postgres = postgres;
    this.#api = api;
  }

  /** Throws when a cursor moved back since the last look. Answers how many moves there were. */
  async look(): Promise<number> {
    if (!this.#isWritten && !(await this.#begin())) return 0;
    const { rows } = await this.#postgres.ask((pool) =>
      pool.query<Move>("select id, before, behind from chaos.moves where id > $1 order by id", [this.#last]),
    );
    for (const { before, behind } of rows) {
      if (!this.#leadsBack(before, behind)) continue;
      throw new Violation(`a cursor moved back: from ${JSON.stringify(before)} to ${JSON.stringify(behind)}`);
    }
    this.#last = rows.at(-1)?.id ?? this.#last;
    return rows.length;
  }

  /** By the API's order where both are events of it, else by time. */
  #leadsBack(before: Place, behind: Place): boolean {
    const [from, to] = [before, behind].map(({ after }) => (after === null ? -1 : this.#api.placeOf(after)));
    if (from !== undefined && to !== undefined && from >= 0 && to >= 0) return to < from;
    return behind.at < before.at;
  }

  async #begin(): Promise<boolean> {
    const { rows } = await this.#postgres.ask((pool) =>
      pool.query<{ is_there: boolean }>("select to_regclass('workos.cursors') is not null as is_there"),
    );
    if (rows[0]?.is_there !== true) return false;
    await this.#postgres.ask((pool) => pool.query(writeDown));
    this.#isWritten = true;
    return true;
  }
}

const writeDown = `
  create schema if not exists chaos;
  create table if not exists chaos.moves (
    id bigint primary key generated always as identity,
    before json not null,
    behind json not null
  );
  create or replace function chaos.write_down() returns trigger language plpgsql as $$
    begin
      insert into chaos.moves (before, behind) values (
        json_build_object('after', old.after, 'at', to_char(old.at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')),
        json_build_object('after', new.after, 'at', to_char(new.at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'))
      );
      return null;
    end
  $$;
  create or replace trigger write_down after update on workos.cursors
  for each row execute function chaos.write_down()`;
