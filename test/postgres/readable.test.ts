import fc from "fast-check";
import { expect, test } from "vitest";
import { readableJson } from "../../src/postgres/readable.ts";

test.each<[string, string, string]>([
  ["NUL", '{"a":"x\\u0000y"}', '{"a":"x\\ufffdy"}'],
  ["NUL in a name", '{"\\u0000":1}', '{"\\ufffd":1}'],
  ["a high surrogate by itself", '["\\ud83d","\\uDBFF."]', '["\\ufffd","\\ufffd."]'],
  ["a low surrogate by itself", '["\\ude00","\\uDC00."]', '["\\ufffd","\\ufffd."]'],
  ["surrogates the wrong way round", '"\\ude00\\ud83d"', '"\\ufffd\\ufffd"'],
  ["a high surrogate before a pair", '"\\ud83d\\ud83d\\ude00"', '"\\ufffd\\ud83d\\ude00"'],
  ["a number that is too large", "[1e999999,1E+1001]", '["1e999999","1E+1001"]'],
  ["a number that is too small", "[-1.5e-999999]", '["-1.5e-999999"]'],
  [
    "a number that is too long",
    `[${"1".repeat(1001)},-0.${"1".repeat(1000)}]`,
    `["${"1".repeat(1001)}","-0.${"1".repeat(1000)}"]`,
  ],
])("replaces %s", (_, text, readable) => {
  expect(readableJson(text)).toBe(readable);
});

test.each<[string, string]>([
  ["an escaped backslash before u0000", '"\\\\u0000"'],
  ["a quote behind backslashes", '{"a":"\\\\\\"","b":"\\\\"}'],
  ["a pair of surrogates", '"\\ud83d\\ude00\\uD83D\\uDE00"'],
  ["other escapes", '"\\u0001\\ud7ff\\ue000\\n\\/"'],
  ["numbers inside strings", '{"1e999999":"-1e999999 \\" 1e999999"}'],
  ["numbers of any ordinary size", "[0,-0,9007199254740993,1.10,1e1000,-1E-1000]"],
  ["white space", ' { "a" :\n[ 1 ,\t2 ] } '],
])("leaves %s alone", (_, text) => {
  expect(readableJson(text)).toBe(text);
});

test("changes nothing in any JSON that jsonb takes", () => {
  const ordinary = fc.json({ stringUnit: "binary" }).filter((text) => !text.includes("\\u0000"));
  fc.assert(fc.property(ordinary, (text) => readableJson(text) === text));
});

test("reads strings of any length", () => {
  const long = "\\n".repeat(8_000_000);
  expect(readableJson(`["${long}\\u0000"]`) === `["${long}\\ufffd"]`).toBe(true);
});
