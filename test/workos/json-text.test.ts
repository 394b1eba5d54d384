import fc from "fast-check";
import { expect, test } from "vitest";
import { endOfValue, scanArray, scanObject, skipSpace } from "../../src/workos/json-text.ts";

function elementTexts(text: string): string[] {
  const elements: string[] = [];
  scanArray(text, skipSpace(text, 0), (start) => {
    const end = endOfValue(text, start);
    elements.push(text.slice(start, end));
    return end;
  });
  return elements;
}

/** By name; of a repeated one the last. */
function memberTexts(text: string): Map<string, string> {
  const members = new Map<string, string>();
  scanObject(text, skipSpace(text, 0), (name, start) => {
    const end = endOfValue(text, start);
    members.set(name, text.slice(start, end));
    return end;
  });
  return members;
}

/** JSON text together with the texts of the parts that it was put together from. */
interface Written {
  text: string;
  elements?: string[];
  members?: [name: string, text: string][];
}

const space = fc.string({ unit: fc.constantFrom(" ", "\n", "\r", "\t"), maxLength: 3 });
const scalar = fc.oneof(
  fc.constantFrom("true", "false", "null", "0", "-0", "1E400", "-1.50e+07"),
  fc.stringMatching(/^-?[1-9]\d{0,30}(\.\d{1,30})?([eE][+-]?\d{1,3})?$/),
);
/** A string in quotes: signs that mean something to JSON, any Unicode, each plain or escaped. */
const quoted = fc
  .array(
    fc.oneof(
      fc.constantFrom('\\"', "\\\\", "\\/", "\\n", "\\u0000", "\\u0022", "\\u005C", "\\ud800", "\\uD83D\\uDE00"),
      fc.constantFrom("[", "]", "{", "}", ",", ":", "'", " ", "\u2028", "😀", "/"),
      fc.string({ unit: "binary", maxLength: 4 }).map((text) => JSON.stringify(text).slice(1, -1)),
    ),
    { maxLength: 6 },
  )
  .map((parts) => `"${parts.join("")}"`);

const { value, array, object } = fc.letrec<Record<"value" | "array" | "object", Written>>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.oneof(scalar, quoted).map((text) => ({ text })),
    tie("array"),
    tie("object"),
  ),
  array: fc
    .record({ inside: space, parts: fc.array(fc.tuple(space, tie("value"), space), { maxLength: 5 }) })
    .map(({ inside, parts }) => ({
      text:
        parts.length === 0 ? `[${inside}]` : `[${parts.map(([before, { text }, behind]) => before + text + behind)}]`,
      elements: parts.map(([, { text }]) => text),
    })),
  object: fc
    .record({
      inside: space,
      parts: fc.array(fc.tuple(space, quoted, space, space, tie("value"), space), { maxLength: 5 }),
    })
    .map(({ inside, parts }) => ({
      text:
        parts.length === 0
          ? `{${inside}}`
          : `{${parts.map(([a, name, b, c, { text }, d]) => `${a}${name}${b}:${c}${text}${d}`)}}`,
      members: parts.map(([, name, , , { text }]): [string, string] => [String(JSON.parse(name)), text]),
    })),
}));

test("cuts any array into the very texts that it was written with", () => {
  fc.assert(
    fc.property(space, array, space, (before, { text, elements }, behind) => {
      expect(elementTexts(`${before}${text}${behind}`)).toEqual(elements);
      JSON.parse(text); // or the test itself is wrong
    }),
    { numRuns: 1000 },
  );
});

test("cuts any object into the very texts that it was written with, by name, the last of a repeated one", () => {
  fc.assert(
    fc.property(space, object, space, (before, { text, members = [] }, behind) => {
      expect(memberTexts(`${before}${text}${behind}`)).toEqual(new Map(members));
      // Not compared with JSON.parse(text): Node 24's mixes up names with escapes (nodejs/node issue 63785).
      JSON.parse(text);
    }),
    { numRuns: 1000 },
  );
});

test("loses and adds nothing: the parts and what lies between them are the original", () => {
  fc.assert(
    fc.property(array, value, ({ text, elements = [] }, extra) => {
      const wide = `[ ${extra.text}\t,\n${text} ]`;
      expect(elementTexts(wide)).toEqual([extra.text, text]);
      let rest = text;
      for (const part of elements) rest = rest.replace(part, () => "");
      expect(rest).toMatch(/^\[[\s,]*\]$/);
    }),
  );
});

test("keeps digits, escapes and repeated names as they were sent", () => {
  const text = '{"a":9007199254740993,"b":1.10,"\\u0061":1E+2 ,"":"\\u0041\\/", "__proto__" : {"a":-0}}';
  expect([...memberTexts(text)]).toEqual([
    ["a", "1E+2"],
    ["b", "1.10"],
    ["", '"\\u0041\\/"'],
    ["__proto__", '{"a":-0}'],
  ]);
});

const MANY = 100_000;
const long: [what: string, part: string][] = [
  ["arrays within arrays", "[".repeat(MANY) + "]".repeat(MANY)],
  ["objects within objects", '{"a":'.repeat(MANY) + 1 + "}".repeat(MANY)],
  ["backslashes", `"${"\\\\".repeat(10 * MANY)}"`],
  ["escaped quotes", `"${'\\"'.repeat(10 * MANY)}"`],
  ["one long word", `"${"x".repeat(100 * MANY)}"`],
  ["many small parts", `[${Array(5 * MANY).fill("{}")}]`],
];

test.each(long)("takes %s by the hundred thousand in its stride", (_, part) => {
  const began = performance.now();
  expect(elementTexts(`[1,${part}]`)[1] === part).toBe(true);
  expect(memberTexts(`{"a":${part}}`).get("a") === part).toBe(true);
  expect(elementTexts(`[${Array(MANY).fill("1")}]`)).toHaveLength(MANY);
  expect(performance.now() - began).toBeLessThan(5000);
});
