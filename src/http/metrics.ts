import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { instantOf, msOf } from "../instant.ts";
import { STATES, type Status } from "../status.ts";

const PREFIX = "workos_mirror_";
/** To know these, the event loop's lag is looked at a hundred times a second: half of what an idle mirror would cost. */
const BY_TIMER = ["min", "max", "mean", "stddev", "p50", "p90", "p99"];
const NEVER_MS = 2 ** 31 - 1;

export interface Metrics {
  registry: Registry;
  requestDone: (request: { status: string; seconds: number }) => void;
  commitDone: (seconds: number) => void;
}

/** What Prometheus is told. Everything that Status knows is read from there when it asks. */
export function createMetrics(status: Status): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: NEVER_MS });
  for (const name of BY_TIMER) registry.removeSingleMetric(`nodejs_eventloop_lag_${name}_seconds`);
  const now = () => instantOf(Date.now());
  const gauge = (name: string, help: string, read: () => number | undefined) =>
    new Gauge({
      name: PREFIX + name,
      help,
      registers,
      collect() {
        const value = read();
        if (value === undefined) this.remove();
        else this.set(value);
      },
    });
  const counter = (name: string, help: string, read: () => number) =>
    new Counter({
      name: PREFIX + name,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(read());
      },
    });

  new Counter({
    name: `${PREFIX}events_total`,
    help: "Events stored since the start that were new, by type.",
    labelNames: ["event"],
    registers,
    collect() {
      this.reset();
      for (const [event, count] of status.insertedByType) this.inc({ event }, count);
    },
  });
  new Gauge({
    name: `${PREFIX}state`,
    help: "1 for the state that the mirror is in, 0 for the others.",
    labelNames: ["state"],
    registers,
    collect() {
      for (const state of STATES) this.set({ state }, state === status.state ? 1 : 0);
    },
  });
  new Gauge({
    name: `${PREFIX}build_info`,
    help: "Always 1; the labels tell the version, revision, environment and filter.",
    labelNames: ["version", "revision", "environment", "filter"],
    registers,
  }).set({ ...status.identity }, 1);

  counter("pages_total", "Pages stored since the start.", () => status.counts.pages);
  counter("events_updated_total", "Events that came again with another content.", () => status.counts.updated);
  counter("events_quarantined_total", "Events put into workos.quarantined_events.", () => status.counts.quarantined);
  counter("gaps_total", "Gaps recorded in workos.gaps.", () => status.counts.gaps);
  counter(
    "late_events_total",
    "Events that had turned up behind the cursor and were found by a sweep.",
    () => status.counts.late_events,
  );
  gauge(
    "history_read_ratio",
    "The share of history that was read, while it is caught up with beside the present.",
    () => status.history?.share,
  );
  counter("retries_total", "Steps that failed and were tried again.", () => status.counts.failures);
  gauge("failures_in_a_row", "Steps that failed since the last good one.", () => status.failures);
  gauge("last_good_poll_age_seconds", "Seconds since the last step that succeeded.", () =>
    status.goodAt === undefined ? undefined : (Date.now() - msOf(status.goodAt)) / 1000,
  );
  gauge("position_age_seconds", "Age of the last event that is stored; grows while nothing happens.", () =>
    status.position === undefined ? undefined : (Date.now() - msOf(status.position.at)) / 1000,
  );
  gauge("lag_seconds", "Everything older than this is stored; about zero at the head.", () => status.lagSeconds(now()));
  gauge("unrecoverable_in_seconds", "Time until the API begins to forget events that are not stored yet.", () =>
    status.unrecoverableInSeconds(now()),
  );

  const requests = new Counter({
    name: `${PREFIX}requests_total`,
    help: "Requests to GET /events by HTTP status; error where no whole answer came.",
    labelNames: ["status"],
    registers,
  });
  const requestSeconds = new Histogram({
    name: `${PREFIX}request_duration_seconds`,
    help: "Time from sending a request to having read its page.",
    buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers,
  });
  const commitSeconds = new Histogram({
    name: `${PREFIX}commit_duration_seconds`,
    help: "Time to write a page and commit it.",
    buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30],
    registers,
  });
  return {
    registry,
    requestDone: ({ status: code, seconds }) => {
      requests.inc({ status: code });
      requestSeconds.observe(seconds);
    },
    commitDone: (seconds) => commitSeconds.observe(seconds),
  };
}
