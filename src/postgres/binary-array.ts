// Postgres's binary form of one-dimensional arrays (src/backend/utils/adt/arrayfuncs.c, array_recv), as parameters.
// As text, each value would be quoted here and unquoted there: for JSON that costs more than writing the row.

type Texts = readonly (string | undefined)[];

const TEXT_OID = 25;
/** Dimensions, whether there are nulls, type, length, lower bound. */
const HEADER_BYTES = 20;
const LENGTH_BYTES = 4;

/** A parameter of the type text[]; undefined is null. */
export function textArray(values: Texts): Buffer {
  const lengths = values.map((value) => (value === undefined ? -1 : Buffer.byteLength(value)));
  const bytes = lengths.reduce((sum, length) => sum + LENGTH_BYTES + Math.max(0, length), HEADER_BYTES);
  const buffer = Buffer.allocUnsafe(bytes);
  let at = 0;
  for (const word of [1, 1, TEXT_OID, values.length, 1]) at = buffer.writeInt32BE(word, at);
  for (const [index, value] of values.entries()) {
    at = buffer.writeInt32BE(lengths[index] ?? -1, at);
    if (value !== undefined) at += buffer.write(value, at);
  }
  return buffer;
}
