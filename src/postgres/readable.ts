/**
 * Makes JSON text that jsonb refuses into the nearest text that it takes: NUL and lone surrogates become U+FFFD, numbers
 * beyond what `numeric` holds become strings. Everything else stays character by character.
 */
export function readableJson(text: string): string {
  // Piece by piece: a pattern for whole strings runs out of stack at a few million escapes.
  let quoted = false;
  return text.replace(
    /"|\\u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|\\u[\da-fA-F]{4}|\\.|-?\d[\d.eE+-]*/g,
    (token) => {
      if (token === '"') quoted = !quoted;
      else if (token.startsWith("\\")) return readableEscape(token);
      else if (!quoted) return readableNumber(token);
      return token;
    },
  );
}

/** Of surrogates, only a pair is more than six characters long. */
function readableEscape(sequence: string): string {
  return /^\\u(0000|[dD][89a-fA-F]..)$/.test(sequence) ? "\\ufffd" : sequence;
}

/** numeric holds 131,072 digits before the decimal point and 16,383 behind it; far less is plenty for a number. */
function readableNumber(digits: string): string {
  const exponent = Number(/[eE](.*)$/.exec(digits)?.[1] ?? 0);
  return Math.abs(exponent) > 1000 || digits.length > 1000 ? `"${digits}"` : digits;
}
