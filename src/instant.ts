/**
 * An instant in UTC with microseconds and a fixed width, `2023-04-28T20:05:31.093000Z`, so that texts compare as times
 * do. A Date would drop the microseconds.
 */
export type Instant = string;

const FORMAT =
  /^(\d{4})-(\d{2})-(\d{2})[T ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)? ?(?:Z|UTC|([+-])(\d{2}):?(\d{2})?)?$/i;

/** How nearly every event is dated; the last days of a month take the long way. */
const USUAL = /^(?!0000)\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{3}Z$/;

/**
 * Reads ISO 8601 with or without `T` and zone (none means UTC, as in the API's own samples). Digits beyond microseconds
 * are cut off. Answers undefined when the text is no instant between the years 1 and 9999.
 */
export function parseInstant(text: string): Instant | undefined {
  if (USUAL.test(text)) return `${text.slice(0, 23)}000Z`;
  const match = FORMAT.exec(text);
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second = "00", fraction = "", sign, offsetHour = "00", offsetMinute = "00"] =
    match;
  if (Number(offsetHour) > 23 || Number(offsetMinute) > 59) return undefined;
  const whole = `${year}-${month}-${day}T${hour}:${minute}:${second}.000Z`;
  const local = new Date(whole);
  if (Number.isNaN(local.getTime()) || local.toISOString() !== whole) return undefined;
  const offsetMs = (Number(offsetHour) * 60 + Number(offsetMinute)) * 60_000 * (sign === "-" ? -1 : 1);
  const utc = new Date(local.getTime() - offsetMs).toISOString();
  if (utc < "0001") return undefined; // a year beyond 9999 begins with a sign, which sorts before the digits
  return `${utc.slice(0, 20)}${fraction.slice(0, 6).padEnd(6, "0")}Z`;
}

/** `ms` since the epoch; a fraction of a millisecond is cut off. */
export function instantOf(ms: number): Instant {
  return `${new Date(ms).toISOString().slice(0, 23)}000Z`;
}

/** Milliseconds since the epoch; microseconds are cut off. */
export function msOf(instant: Instant): number {
  return Date.parse(`${instant.slice(0, 23)}Z`);
}

/** Milliseconds precision: what falls off moves the result less than 1 ms into the past, never into the future. */
export function addMs(instant: Instant, ms: number): Instant {
  return instantOf(msOf(instant) + ms);
}

export function earlierOf(a: Instant, b: Instant): Instant {
  return a < b ? a : b;
}

export function laterOf(a: Instant, b: Instant): Instant {
  return a < b ? b : a;
}
