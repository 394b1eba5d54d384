import { expect, test } from "vitest";
import { EffectiveFilter } from "../src/filter.ts";
import { Trouble } from "../src/trouble.ts";

const HOUR_MS = 3_600_000;
const CATALOGUE = ["session.created", "user.created", "user.deleted"];

const filterRequired = new Trouble("events required", { kind: "refused", code: "filter_required" });
const otherTrouble = new Trouble("no", { kind: "refused", code: "api_refused", subject: "user.created" });
const rejection = (type: string) =>
  new Trouble(`unknown ${type}`, { kind: "refused", code: "event_type_rejected", subject: type });

test("asks for what was configured as long as the API has nothing against it", () => {
  const configured = [{}, { organizationId: "org_1" }, { events: ["user.created"], organizationId: "org_1" }];
  expect(configured.map((filter) => new EffectiveFilter(filter, CATALOGUE).current)).toEqual(configured);
});

test("spells out the whole catalogue, once, for an API that wants a list, and keeps the organization", () => {
  const filter = new EffectiveFilter({ organizationId: "org_1" }, CATALOGUE);
  expect(filter.adapt(filterRequired, 0)).toEqual({
    level: "warn",
    code: "filter_required",
    message: "this account's API wants the event types spelled out: asking for all that are known",
    fields: { types: 3 },
  });
  expect(filter.current).toEqual({ events: CATALOGUE, organizationId: "org_1" });
  expect(filter.adapt(filterRequired, 0)).toBeUndefined();
});

test("does not widen a configured list to the catalogue", () => {
  const filter = new EffectiveFilter({ events: ["user.created"] }, CATALOGUE);
  expect(filter.adapt(filterRequired, 0)).toBeUndefined();
  expect(filter.current).toEqual({ events: ["user.created"] });
});

test("leaves out a type that the API rejects and keeps the others, configured or from the catalogue", () => {
  const configured = new EffectiveFilter({ events: ["user.created", "user.oops"] }, CATALOGUE);
  expect(configured.adapt(rejection("user.oops"), 0)).toEqual({
    level: "warn",
    code: "event_type_rejected",
    message: "the API rejects an event type: mirroring all the others, trying it again in an hour",
    fields: { types: ["user.oops"] },
  });
  expect(configured.current).toEqual({ events: ["user.created"] });

  const catalogue = new EffectiveFilter({}, CATALOGUE);
  catalogue.adapt(filterRequired, 0);
  catalogue.adapt(rejection("session.created"), 0);
  catalogue.adapt(rejection("user.deleted"), 0);
  expect(catalogue.current).toEqual({ events: ["user.created"] });
});

test("stops instead of asking for everything when the last type is rejected", () => {
  const filter = new EffectiveFilter({ events: ["user.oops"] }, CATALOGUE);
  expect(filter.adapt(rejection("user.oops"), 0)).toBeUndefined();
  expect(filter.current).toEqual({ events: ["user.oops"] });
});

test("has no answer to a rejection of what it does not ask for, nor to any other trouble", () => {
  const filter = new EffectiveFilter({ events: ["user.created", "user.deleted"] }, CATALOGUE);
  const unnamed = new Trouble("unknown type", { kind: "refused", code: "event_type_rejected" });
  const troubles = [rejection("session.created"), unnamed, otherTrouble];
  expect(troubles.map((trouble) => filter.adapt(trouble, 0))).toEqual([undefined, undefined, undefined]);
  expect(new EffectiveFilter({}, CATALOGUE).adapt(rejection("user.created"), 0)).toBeUndefined();
  expect(filter.current).toEqual({ events: ["user.created", "user.deleted"] });
});

test("tries rejected types again an hour after the last rejection, and tells of those that come through", () => {
  const filter = new EffectiveFilter({ events: ["a", "b", "c"] }, CATALOGUE);
  expect([filter.tryAgain(HOUR_MS * 99), filter.accepted()]).toEqual([false, undefined]);
  filter.adapt(rejection("a"), 0);
  filter.adapt(rejection("b"), 1000);
  expect([filter.tryAgain(HOUR_MS + 999), filter.current]).toEqual([false, { events: ["c"] }]);
  expect([filter.tryAgain(HOUR_MS + 1000), filter.current]).toEqual([true, { events: ["a", "b", "c"] }]);

  filter.adapt(rejection("a"), HOUR_MS + 2000);
  expect(filter.accepted()).toEqual({
    level: "info",
    code: "event_type_accepted",
    message: "the API accepts event types that it had rejected: mirroring them with their history",
    fields: { types: ["b"] },
  });
  expect([filter.current, filter.accepted()]).toEqual([{ events: ["b", "c"] }, undefined]);
  expect([filter.tryAgain(2 * HOUR_MS + 1999), filter.tryAgain(2 * HOUR_MS + 2000)]).toEqual([false, true]);
});
