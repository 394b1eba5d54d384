import fc from "fast-check";
import { expect, test } from "vitest";
import { addMs, earlierOf, instantOf, laterOf, msOf, parseInstant } from "../src/instant.ts";

const YEAR_1 = Date.parse("0001-01-02T00:00:00Z");
const YEAR_9999 = Date.parse("9999-12-30T00:00:00Z");

test("reads every form of a time that the API was seen to send, and its neighbours, down to microseconds", () => {
  const forms = {
    "2023-04-28T20:05:31.093Z": "2023-04-28T20:05:31.093000Z",
    "2023-04-28 20:05:31.093": "2023-04-28T20:05:31.093000Z",
    "2023-04-28T20:05:31.093": "2023-04-28T20:05:31.093000Z",
    "2023-04-28 20:05:31.093123": "2023-04-28T20:05:31.093123Z",
    "2023-04-28T20:05:31.093123Z": "2023-04-28T20:05:31.093123Z",
    "2023-04-28T20:05:31.0931239Z": "2023-04-28T20:05:31.093123Z",
    "2023-04-28T20:05:31.999999999Z": "2023-04-28T20:05:31.999999Z",
    "2023-04-28T20:05:31.5Z": "2023-04-28T20:05:31.500000Z",
    "2023-04-28T20:05:31,093Z": "2023-04-28T20:05:31.093000Z",
    "2023-04-28T20:05:31Z": "2023-04-28T20:05:31.000000Z",
    "2023-04-28T20:05Z": "2023-04-28T20:05:00.000000Z",
    "2023-04-28t20:05:31.093z": "2023-04-28T20:05:31.093000Z",
    "2023-04-28 20:05:31.093 UTC": "2023-04-28T20:05:31.093000Z",
    "2023-04-28 20:05:31.093123+00": "2023-04-28T20:05:31.093123Z",
    "2023-04-28T22:05:31.093123+02:00": "2023-04-28T20:05:31.093123Z",
    "2023-04-28T14:35:31.093123-0530": "2023-04-28T20:05:31.093123Z",
    "2023-04-28 20:05:31.093 +0000": "2023-04-28T20:05:31.093000Z",
    "2024-01-01T00:30:00+01:00": "2023-12-31T23:30:00.000000Z",
    "2024-02-29T00:00:00Z": "2024-02-29T00:00:00.000000Z",
    "0001-01-01T00:00:00Z": "0001-01-01T00:00:00.000000Z",
    "9999-12-31T23:59:59.999999Z": "9999-12-31T23:59:59.999999Z",
  };
  expect(Object.fromEntries(Object.keys(forms).map((text) => [text, parseInstant(text)]))).toEqual(forms);
});

test("takes nothing for a time that is none", () => {
  const wrong = [
    "",
    "now",
    "null",
    "1682712331093",
    "2023-04-28",
    "2023-04-28T20Z",
    "2023-02-30T00:00:00Z",
    "2023-02-29T00:00:00Z",
    "2023-04-31T00:00:00Z",
    "2023-13-01T00:00:00Z",
    "2023-00-01T00:00:00Z",
    "2023-04-00T00:00:00Z",
    "2023-04-28T24:00:00Z",
    "2023-04-28T20:60:00Z",
    "2023-04-28T20:05:60Z",
    "2023-04-28T20:05:31.Z",
    "2023-04-28T20:05:31+24:00",
    "2023-04-28T20:05:31+02:60",
    "2023-04-28T20:05:31 CEST",
    "2023-04-28T20:05:31ZZ",
    " 2023-04-28T20:05:31Z",
    "2023-04-28T20:05:31Z\n",
    "2023-4-28T20:05:31Z",
    "23-04-28T20:05:31Z",
    "+002023-04-28T20:05:31Z",
    "٢٠٢٣-04-28T20:05:31Z",
    "0000-01-01T00:00:00Z",
    "0000-12-31T23:59:59.999999Z",
    "0001-01-01T00:00:00+00:01",
    "9999-12-31T23:59:00-00:01",
    "10000-01-01T00:00:00Z",
  ];
  expect(wrong.filter((text) => parseInstant(text) !== undefined)).toEqual([]);
});

/** A moment in microseconds, and one of the ways to write it; often within the same few milliseconds as another. */
const written = fc
  .record({
    ms: fc.oneof(
      fc.integer({ min: YEAR_1, max: YEAR_9999 }),
      fc.integer({ min: 1_682_712_331_093, max: 1_682_712_331_095 }),
    ),
    micros: fc.integer({ min: 0, max: 999 }),
    offsetMinutes: fc.integer({ min: -14 * 60, max: 14 * 60 }),
    form: fc.constantFrom("Z", "none", "offset"),
    between: fc.constantFrom("T", " "),
  })
  .map(({ ms, micros, offsetMinutes, form, between }) => {
    const shown = new Date(ms + (form === "offset" ? offsetMinutes * 60_000 : 0)).toISOString().slice(0, 23);
    const [sign, minutes] = [offsetMinutes < 0 ? "-" : "+", Math.abs(offsetMinutes)];
    const offset = `${sign}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
    const zone = { Z: "Z", none: "", offset }[form];
    const text = `${shown.replace("T", between)}${String(micros).padStart(3, "0")}${zone}`;
    return { microseconds: ms * 1000 + micros, text };
  });

function two(number: number): string {
  return String(number).padStart(2, "0");
}

test("sorts as text just as the moments lie in time, whatever forms they came in", () => {
  fc.assert(
    fc.property(written, written, (one, other) => {
      const [first, second] = [parseInstant(one.text) ?? one.text, parseInstant(other.text) ?? other.text];
      expect([first < second, first === second]).toEqual([
        one.microseconds < other.microseconds,
        one.microseconds === other.microseconds,
      ]);
      expect(earlierOf(first, second)).toBe(one.microseconds <= other.microseconds ? first : second);
      expect(laterOf(first, second)).toBe(one.microseconds >= other.microseconds ? first : second);
    }),
  );
});

test("is the same moment as the Date it came from, and reads what it writes", () => {
  fc.assert(
    fc.property(fc.integer({ min: YEAR_1, max: YEAR_9999 }), (ms) => {
      const instant = parseInstant(new Date(ms).toISOString()) ?? "";
      expect([instant, parseInstant(instant), msOf(instant)]).toEqual([instantOf(ms), instant, ms]);
    }),
  );
});

test("cuts off what a clock or a sum has beyond its precision, so that nothing lands in the future", () => {
  expect([
    instantOf(1_682_712_331_093.9),
    msOf("2023-04-28T20:05:31.093999Z"),
    addMs("2023-04-28T20:05:31.093999Z", 1),
    addMs("2023-04-28T20:05:31.093999Z", -86_400_000),
  ]).toEqual([
    "2023-04-28T20:05:31.093000Z",
    1_682_712_331_093,
    "2023-04-28T20:05:31.094000Z",
    "2023-04-27T20:05:31.093000Z",
  ]);
});
