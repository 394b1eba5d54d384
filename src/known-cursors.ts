import { type Cursor, filterKey, type Store } from "./event.ts";

/** So long a mirror at rest goes by the cursors that it has read. To ask each second was a sixth of what it cost. */
const KNOWN_FOR_MS = 4_500;

export interface RememberingStore extends Store {
  /** The next who reads them asks the database. */
  forgetCursors: () => void;
}

/** A store that goes by the cursors as they were read, until it writes. Others may have moved them meanwhile. */
export function rememberingCursors(store: Store): RememberingStore {
  let known: { key: string; cursors: Cursor[]; readAt: number } | undefined;
  const forgetCursors = () => {
    known = undefined;
  };
  return {
    ...store,
    forgetCursors,
    readCursors: async ({ environment, filter }) => {
      const key = JSON.stringify([environment, filterKey(filter)]);
      if (known?.key === key && performance.now() - known.readAt < KNOWN_FOR_MS) return known.cursors;
      const readAt = performance.now();
      const cursors = await store.readCursors({ environment, filter });
      known = { key, cursors, readAt };
      return cursors;
    },
    savePages: (...pages) => {
      forgetCursors();
      return store.savePages(...pages);
    },
    splitCursor: (...cut) => {
      forgetCursors();
      return store.splitCursor(...cut);
    },
    forgetHistory: (...key) => {
      forgetCursors();
      return store.forgetHistory(...key);
    },
  };
}
