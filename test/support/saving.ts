import type { CursorKey, EventPage, Move, Position, SavedPages, Store } from "../../src/event.ts";

/** Saves one page and moves the cursor that follows the present. */
export async function savePage(
  store: Store,
  key: CursorKey,
  page: EventPage,
  move: Omit<Move, "rangeEnd">,
): Promise<SavedPages> {
  const [saved] = await store.savePages(key, [{ pages: [page], move: { rangeEnd: undefined, ...move } }]);
  if (saved === undefined) throw new Error("savePages answered nothing");
  return saved;
}

/** Where the cursor is that follows the present. */
export async function readPosition(store: Store, key: CursorKey): Promise<Position | undefined> {
  const cursors = await store.readCursors(key);
  return cursors.find(({ rangeEnd }) => rangeEnd === undefined)?.position;
}
