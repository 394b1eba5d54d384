import { expect, test } from "vitest";
import { Trouble } from "../../src/trouble.ts";
import { readPage as readPageUntil } from "../../src/workos/page.ts";

const LATEST = "2126-01-01T00:00:00.000000Z";

function readPage(body: string) {
  const { more: _, ...page } = readPageUntil(body, LATEST);
  return page;
}

const AT = "2026-08-20T12:00:00.000000Z";

/** An event's text; `fields` replace or add members, as raw JSON text. */
function eventText(id: string, fields: Record<string, string> = {}): string {
  const members = {
    object: '"event"',
    id: JSON.stringify(id),
    event: '"user.created"',
    data: '{"id":"user_1"}',
    created_at: '"2026-08-20T12:00:00.000Z"',
    ...fields,
  };
  return `{${Object.entries(members).map(([name, text]) => `"${name}":${text}`)}}`;
}

function bodyOf(texts: readonly string[], listMetadata = '{"after":null}'): string {
  return `{"object":"list","data":[${texts}],"list_metadata":${listMetadata}}`;
}

/** What is read of a plain event. */
function read(id: string, text: string, more: Record<string, unknown> = {}) {
  return { id, event: "user.created", createdAt: AT, text, data: '{"id":"user_1"}', ...more };
}

test("says whether the API told of more to come", () => {
  const more = ["null", '""', '"event_1"'].map((after) => readPageUntil(bodyOf([], `{"after":${after}}`), LATEST).more);
  expect([...more, readPageUntil('{"data":[]}', LATEST).more]).toEqual([false, true, true, false]);
});

/** The Trouble that the body leads to, as data. */
function troubleOf(body: string) {
  try {
    readPage(body);
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    const { message, kind, code, hint } = error;
    return { message, kind, code, hint };
  }
  throw new Error("the page was accepted");
}

test("reads events in the API's order, and where the page ends", () => {
  const [first, second] = [eventText("event_2"), eventText("event_1", { event: '"user.deleted"' })];
  expect(readPage(bodyOf([first, second], '{"before":null,"after":"event_1"}'))).toEqual({
    events: [read("event_2", first), read("event_1", second, { event: "user.deleted" })],
    quarantined: [],
    received: 2,
    end: { after: "event_1", at: AT },
  });
});

test("finds the end in the last event, whatever list_metadata says or leaves out", () => {
  const texts = [eventText("event_1"), eventText("event_2")];
  const bodies = ['{"after":null}', "{}", "null", '{"after":"event_elsewhere"}'].map((text) => bodyOf(texts, text));
  bodies.push(`{"data":[${texts}]}`);
  expect(bodies.map((body) => readPage(body).end)).toEqual(Array(5).fill({ after: "event_2", at: AT }));
});

test("has no end to tell of an empty page, even where the API names a cursor", () => {
  const empty = { events: [], quarantined: [], received: 0 };
  const bodies = [bodyOf([]), bodyOf([], '{"after":"event_1"}'), '{"data" : [ ] }'];
  expect(bodies.map(readPage)).toEqual([empty, empty, empty]);
});

test("keeps every character of data, context and fields without a column", () => {
  const data = '{ "n" : 9007199254740993, "d":0.1000000000000000055511151231257827, "e":1E+400,\n"u":"\\u00e9é\\/" }';
  const context = '{"client_id" : "client_1"}';
  const text = eventText("event_1", { data, context, environment_id: '"env_1"', more: "[1.0, 12345678901234567890]" });
  expect(readPage(bodyOf([text])).events).toEqual([
    read("event_1", text, { data, context, extra: '{"environment_id":"env_1","more":[1.0, 12345678901234567890]}' }),
  ]);
});

test("keeps white space and order as they were sent, in a body that is full of both", () => {
  const text = `{\r\n\t"created_at" : "2026-08-20 12:00:00" ,"data":{"id":"user_1"}, "event":"user.created","id":"event_1"\n}`;
  const body = ` \n{ "list_metadata" : { "after" : null } ,\n"data" :\t[ ${text} , ${text} ] }\n`;
  expect(readPage(body)).toEqual({
    events: [read("event_1", text)],
    quarantined: [],
    received: 2,
    end: { after: "event_1", at: AT },
  });
});

test("takes the last of repeated names, as JSON.parse does, and minds no name that JavaScript knows", () => {
  const text = `{"id":"event_0","id":"event_1","event":"user.created","created_at":"${AT}","data":1,"data":{"id":"user_1"},"__proto__":{"id":"x"},"constructor":0}`;
  expect(readPage(`{"data":[{}],"data":[${text}]}`)).toEqual({
    events: [read("event_1", text, { extra: '{"__proto__":{"id":"x"},"constructor":0}' })],
    quarantined: [],
    received: 1,
    end: { after: "event_1", at: AT },
  });
});

test("keeps an `object` that is not the usual one, and names that need escapes, among the extra fields", () => {
  const text = eventText("event_1", { object: '"thing"', 'q\\"\\u0041': "1" });
  expect(readPage(bodyOf([text])).events).toEqual([read("event_1", text, { extra: '{"object":"thing","q\\"A":1}' })]);
});

test("reads every form of created_at, to the microsecond", () => {
  const forms = ["2026-08-20 11:59:59.999", "2026-08-20T11:59:59.999001Z", "2026-08-20T14:00:00+02:00"];
  const texts = forms.map((form, index) => eventText(`event_${index}`, { created_at: JSON.stringify(form) }));
  const page = readPage(bodyOf(texts));
  expect(page.events.map((event) => event.createdAt)).toEqual([
    "2026-08-20T11:59:59.999000Z",
    "2026-08-20T11:59:59.999001Z",
    AT,
  ]);
});

const flaws: [what: string, text: string, flaw: Record<string, string>, readable: boolean][] = [
  ["a number", "17", { reason: "not an object" }, false],
  ["null", "null", { reason: "not an object" }, false],
  ["an array", '[{"id":"event_1"}]', { reason: "not an object" }, false],
  ["an empty object", "{}", { reason: "id is missing or not valid" }, false],
  ...['""', "7", "null", '"a\\u0000b"', '"\\ud800"', '"a\\nb"', `"${"x".repeat(256)}"`].map(
    (id): (typeof flaws)[number] => [
      `the id ${id.slice(0, 20)}`,
      eventText("", { id }),
      { reason: "id is missing or not valid", event: "user.created" },
      false,
    ],
  ),
  ...['""', "{}", '"user.\\u0000"', '"\\udfff"', `"${"x".repeat(256)}"`].map((event): (typeof flaws)[number] => [
    `the type ${event.slice(0, 20)}`,
    eventText("event_2", { event }),
    { reason: "event is missing or not valid", id: "event_2" },
    false,
  ]),
  ...['"yesterday"', '"2026-02-30T00:00:00Z"', '"0000-01-01T00:00:00Z"', "1787227200", "null"].map(
    (time): (typeof flaws)[number] => [
      `the time ${time}`,
      eventText("event_2", { created_at: time }),
      { reason: "created_at is missing or not valid", id: "event_2", event: "user.created" },
      false,
    ],
  ),
  ...["null", "7", '"{}"', "[]", "true"].map((data): (typeof flaws)[number] => [
    `the data ${data}`,
    eventText("event_2", { data }),
    { reason: "data is not an object", id: "event_2", event: "user.created" },
    true,
  ]),
];

test.each(flaws)(
  "quarantines an event that is or has %s, with its text and the reason, and reads the rest",
  (_, text, flaw, readable) => {
    const [before, after] = [eventText("event_1"), eventText("event_3")];
    const data = /"data":(.*),"created_at"/.exec(text)?.[1];
    expect(readPage(bodyOf([before, text, after]))).toEqual({
      events: [read("event_1", before), ...(readable ? [read("event_2", text, { data })] : []), read("event_3", after)],
      quarantined: [{ text, ...flaw }],
      received: 3,
      end: { after: "event_3", at: AT },
    });
  },
);

test("quarantines an event without data, and still keeps what is readable of it", () => {
  const text = `{"id":"event_1","event":"user.created","created_at":"${AT}"}`;
  expect(readPage(bodyOf([text]))).toEqual({
    events: [read("event_1", text, { data: "null" })],
    quarantined: [{ text, reason: "data is not an object", id: "event_1", event: "user.created" }],
    received: 1,
    end: { after: "event_1", at: AT },
  });
});

test("takes ids and types of any form, as long as Postgres can hold and index them", () => {
  const ids = ["evt_1", "x".repeat(255), "Ünïcode-東京 😀", "a b'\"\\"];
  const texts = ids.map((id) => eventText(id, { event: JSON.stringify(id) }));
  const { events, quarantined } = readPage(bodyOf(texts));
  expect([events.map(({ id, event }) => [id, event]), quarantined]).toEqual([ids.map((id) => [id, id]), []]);
});

test("lists an event that comes twice once, in its first place, with its last content", () => {
  const [first, changed, second] = [
    eventText("event_1"),
    eventText("event_1", { data: '{"id":"user_9"}' }),
    eventText("event_2"),
  ];
  expect(readPage(bodyOf([first, second, first, changed]))).toEqual({
    events: [read("event_1", changed, { data: '{"id":"user_9"}' }), read("event_2", second)],
    quarantined: [],
    received: 4,
    end: { after: "event_2", at: AT },
  });
});

test("ends a page behind the last id that it read, also behind an event without a time", () => {
  const good = eventText("event_1");
  const timeless = eventText("event_2", { created_at: "null" });
  const nameless = eventText("", { id: "null" });
  const ends = [[good, timeless], [good, nameless], [timeless], [good, timeless, nameless, timeless]].map(
    (texts) => readPage(bodyOf(texts)).end,
  );
  expect(ends).toEqual([
    { after: "event_2", at: AT },
    { after: "event_1", at: AT },
    { after: "event_2" },
    { after: "event_2", at: AT },
  ]);
});

test("falls back to the API's own cursor when no element of a page has an id", () => {
  const texts = [eventText("", { id: "null" }), "17"];
  const ends = ['{"after":"event_9"}', '{"after":null}', '{"after":""}'].map(
    (text) => readPage(bodyOf(texts, text)).end,
  );
  expect(ends).toEqual([{ after: "event_9" }, undefined, undefined]);
});

const pageHint = "nothing of this page was stored and the cursor stays; the page is asked for again";

test("refuses a page that is not ascending, by a millisecond too, wherever in it", () => {
  const at = (fraction: string) => ({ created_at: `"2026-08-20T12:00:00.${fraction}Z"` });
  const texts = [eventText("event_1", at("001")), eventText("event_2", at("002")), eventText("event_3", at("001"))];
  expect(troubleOf(bodyOf(texts))).toEqual({
    message:
      "GET /events: the answer is not in ascending order: event_3 (2026-08-20T12:00:00.001000Z) comes after an event of 2026-08-20T12:00:00.002000Z",
    kind: "passing",
    code: "page_not_ascending",
    hint: pageHint,
  });
  expect(
    troubleOf(
      bodyOf([
        eventText("event_1"),
        eventText("event_2", { data: "1", ...at("0") }),
        eventText("event_3", { created_at: '"2026-08-20T11:59:59.999999Z"' }),
      ]),
    ).code,
  ).toBe("page_not_ascending");
});

test("accepts events of the same millisecond, though some of them show microseconds", () => {
  const texts = [
    eventText("event_1", { created_at: '"2026-08-20T12:00:00.093500Z"' }),
    eventText("event_2", { created_at: '"2026-08-20T12:00:00.093Z"' }),
  ];
  expect(readPage(bodyOf(texts)).end).toEqual({ after: "event_2", at: "2026-08-20T12:00:00.093500Z" });
});

test("accepts events of the same instant in any order of their ids", () => {
  const texts = ["event_3", "event_1", "event_2"].map((id) => eventText(id));
  expect(readPage(bodyOf(texts)).events.map(({ id }) => id)).toEqual(["event_3", "event_1", "event_2"]);
});

test("refuses what is not JSON, or no list of events, without repeating any of it", () => {
  const notJson = [
    "",
    " ",
    "<html>secret</html>",
    '{"data":[{"id":"secret"',
    '{"data":[]}}',
    "undefined",
    '{"data":[01]}',
  ];
  expect(notJson.map(troubleOf)).toEqual(
    notJson.map((body) => ({
      message: `GET /events: the answer of ${body.length} characters is not JSON`,
      kind: "passing",
      code: "page_not_json",
      hint: pageHint,
    })),
  );
  const wrongShapes = [
    "null",
    '"secret"',
    "[]",
    "{}",
    '{"data":null}',
    '{"data":{"0":"secret"}}',
    '{"data":"secret"}',
    '{"message":"secret"}',
  ];
  const troubles = wrongShapes.map(troubleOf);
  expect(troubles.map(({ kind, code, hint }) => ({ kind, code, hint }))).toEqual(
    wrongShapes.map(() => ({ kind: "passing", code: "page_wrong_shape", hint: pageHint })),
  );
  expect(
    troubles.filter(({ message }) => !message.startsWith("GET /events: the answer is no list of events: ✖ ")),
  ).toEqual([]);
  expect(troubles.filter(({ message }) => message.includes("secret"))).toEqual([]);
});

test("needs nothing of list_metadata, whatever it is, while the events have ids", () => {
  const bodies = ["7", "[]", '{"after":7}', '{"after":{}}'].map((metadata) => bodyOf([eventText("event_1")], metadata));
  expect(bodies.map((body) => readPage(body).end)).toEqual(bodies.map(() => ({ after: "event_1", at: AT })));
});

test("reads a page whose events are nested beyond any reason", () => {
  const depth = 100_000;
  const text = eventText("event_1", { data: `{"a":${"[".repeat(depth)}${"]".repeat(depth)}}` });
  const { events } = readPage(bodyOf([text]));
  expect([events.length, events[0]?.text === text]).toEqual([1, true]);
});

test("stores an event from the future and tells of it, but never ends a page there", () => {
  const [now, latest] = [eventText("event_1"), eventText("event_2", { created_at: JSON.stringify(LATEST) })];
  const future = eventText("event_3", { created_at: '"2126-01-01T00:00:00.000001Z"' });
  const reading = read("event_3", future, { createdAt: "2126-01-01T00:00:00.000001Z" });
  const flaw = { text: future, reason: "created_at lies in the future", id: "event_3", event: "user.created" };
  expect([readPage(bodyOf([now, future, latest])), readPage(bodyOf([future], '{"after":"event_3"}'))]).toEqual([
    {
      events: [read("event_1", now), reading, read("event_2", latest, { createdAt: LATEST })],
      quarantined: [flaw],
      received: 3,
      end: { after: "event_2", at: LATEST },
    },
    { events: [reading], quarantined: [flaw], received: 1 },
  ]);
});
