// Says what a server does. Each function returns the elements of a section.

import { histogramPicture, table, tile } from "./drawing.mjs";
import { sum, sumBy } from "./exposition.mjs";
import { quantile } from "./interval.mjs";
import { JOB_TITLES, jobRows } from "./jobs.mjs";
import { bytes, count, seconds } from "./quantity.mjs";

// Above it, LossdSaturated tells somebody (deploy/config/alerts.yml).
const SATURATED = 3;
// Executors that compute for a smaller share of the time are idle, whatever the quotient is:
// one request that waited 2 ms and took 20 us makes it 100.
const BUSY = 0.05;
// Streams of entries last as long as their clients like, so their times say nothing.
const TIMED = ["ComputeLoss", "ComputeLosses", "StreamLoss"];

// Returns a percentile as text. One in the lowest bucket is only known to be at most its bound.
function percentile(values, q, text) {
  const value = quantile(values, q);
  const least = values.bounds[0];
  return value !== null && value <= least ? `≤ ${text(least)}` : text(value);
}

// Returns the name of the method with the most calls, and the histogram of their times.
function busiest(interval) {
  const times = TIMED.map((method) => ({
    method,
    times: interval.histogram("lossd_request_seconds", { method }),
  }));
  return times.reduce((most, one) => (one.times.count > most.times.count ? one : most));
}

function callTile(interval) {
  const rate = interval.rate("lossd_requests_total");
  const failing = rate - interval.rate("lossd_requests_total", { code: "OK" });
  return {
    title: "Calls",
    value: `${count(rate)} /s`,
    note: failing > 0 ? `${count(failing)} /s not OK` : "all OK",
    alarming: failing > 0.01 * rate,
    of: (each) => each.rate("lossd_requests_total"),
  };
}

function elementTile(interval) {
  const nan = interval.rate("lossd_nan_logits_total");
  return {
    title: "Elements",
    value: `${count(interval.rate("lossd_elements_total"))} /s`,
    note: nan > 0 ? `${count(nan)} /s of them NaN` : "computed",
    alarming: nan > 0,
    of: (each) => each.rate("lossd_elements_total"),
  };
}

function timeTile(interval) {
  const { method, times } = busiest(interval);
  return {
    title: "Time of a call",
    value: percentile(times, 0.5, seconds),
    note: `99 %: ${percentile(times, 0.99, seconds)}, ${method}`,
    of: (each) => quantile(each.histogram("lossd_request_seconds", { method }), 0.5) ?? 0,
  };
}

// Says how much waits, and is an alarm where executors are at work, too.
export function saturationTile(interval) {
  const of = (each) => each.ratio("lossd_queue_seconds_sum", "lossd_compute_seconds_sum");
  const saturation = of(interval);
  const busy = interval.rate("lossd_compute_seconds_sum") / sum(interval.later, "lossd_executors");
  return {
    title: "Waiting per computing",
    value: count(saturation),
    note: `above ${SATURATED}: add servers`,
    alarming: saturation > SATURATED && busy > BUSY,
    of: (each) => of(each) ?? 0,
  };
}

function trafficTile(interval) {
  const received = (each) => each.rate("lossd_received_bytes_total");
  const sent = (each) => each.rate("lossd_sent_bytes_total");
  return {
    title: "Traffic",
    value: `${bytes(received(interval))}/s`,
    note: `received; ${bytes(sent(interval))}/s sent`,
    of: (each) => received(each) + sent(each),
  };
}

function refusalTile(interval) {
  const reasons = [...interval.ratesBy("lossd_rejected_total", "reason")]
    .filter(([, rate]) => rate > 0)
    .map(([reason, rate]) => `${reason} ${count(rate)}`);
  return {
    title: "Refused",
    value: `${count(interval.rate("lossd_rejected_total"))} /s`,
    note: reasons.join(", ") || "by admission",
    alarming: reasons.length > 0,
    of: (each) => each.rate("lossd_rejected_total"),
  };
}

function batchTile(interval) {
  const requests = (each) => each.ratio("lossd_batch_requests_sum", "lossd_batch_requests_count");
  const elements = interval.ratio("lossd_batch_elements_sum", "lossd_batch_elements_count");
  return {
    title: "Requests in a batch",
    value: count(requests(interval)),
    note: `mean; ${count(elements)} elements`,
    of: (each) => requests(each) ?? 0,
  };
}

function budgetTile({ later }) {
  const share = (what) => sum(later, `lossd_inflight_${what}`) / sum(later, `lossd_max_inflight_${what}`);
  return {
    title: "In flight",
    value: bytes(sum(later, "lossd_inflight_bytes")),
    note:
      `of ${bytes(sum(later, "lossd_max_inflight_bytes"))}; requests: ` +
      `${count(sum(later, "lossd_inflight_requests"))} of ${count(sum(later, "lossd_max_inflight_requests"))}`,
    share: Math.max(share("bytes"), share("requests")),
    full: 0.9,
  };
}

function executorTile(interval) {
  const busy = sum(interval.later, "lossd_executors_busy");
  const all = sum(interval.later, "lossd_executors");
  const errors = interval.rate("lossd_device_errors_total");
  const waiting = `waiting requests: ${count(sum(interval.later, "lossd_queue_depth"))}`;
  return {
    title: "Executors",
    value: `${busy} of ${all} busy`,
    note: errors > 0 ? `${waiting}; ${count(errors)} /s device errors` : waiting,
    alarming: errors > 0,
    share: busy / all,
  };
}

function processorTile(interval) {
  const cores = (each) => each.rate("process_cpu_seconds_total");
  return {
    title: "Processors",
    value: `${count(cores(interval))} in use`,
    note: `${count(sum(interval.later, "process_threads"))} threads`,
    of: cores,
  };
}

function memoryTile({ later }) {
  const shared = sum(later, "lossd_shared_memory_bytes");
  const lent = sum(later, "lossd_lent_memory_bytes");
  const note = `resident; ${bytes(shared)} shared`;
  return {
    title: "Memory",
    value: bytes(sum(later, "process_resident_memory_bytes")),
    note: lent > 0 ? `${note}, ${bytes(lent)} lent` : note,
    of: (each) => sum(each.later, "process_resident_memory_bytes"),
  };
}

function connectionTile({ later }) {
  const listeners = [...sumBy(later, "lossd_connections", "listener")];
  return {
    title: "Connections",
    value: count(sum(later, "lossd_connections")),
    note: listeners.map(([listener, number]) => `${number} by ${listener}`).join(", "),
    of: (each) => sum(each.later, "lossd_connections"),
  };
}

const TILES = [
  callTile, elementTile, timeTile, saturationTile, refusalTile, budgetTile, executorTile, batchTile,
  trafficTile, processorTile, memoryTile, connectionTile,
];

// Returns a tile for each number. `interval` is the last seconds, `steps` are those between each two
// readings, for the lines.
export function tiles(interval, steps) {
  return TILES.map((describe) => {
    const described = describe(interval);
    return tile({ ...described, values: described.of ? steps.map(described.of) : [] });
  });
}

// Returns "CODE COUNT, ..." of the calls that did not end with OK.
function failures(metrics, method) {
  return [...sumBy(metrics, "lossd_requests_total", "code", { method })]
    .filter(([code, number]) => code !== "OK" && number > 0)
    .map(([code, number]) => `${code} ${count(number)}`)
    .join(", ");
}

function callRow(interval, method) {
  const times = interval.histogram("lossd_request_seconds", { method });
  return [
    method,
    count(interval.rate("lossd_requests_total", { method })),
    ...[0.5, 0.9, 0.99].map((q) => percentile(times, q, seconds)),
    count(sum(interval.later, "lossd_requests_total", { method })),
    failures(interval.later, method) || "-",
  ];
}

function workRows(interval) {
  const kinds = [...sumBy(interval.later, "lossd_elements_total", "loss").keys()];
  return kinds.flatMap((loss) =>
    [...sumBy(interval.later, "lossd_elements_total", "dtype", { loss })]
      .filter(([, elements]) => elements > 0)
      .map(([dtype, elements]) => [
        `${loss}, ${dtype}`,
        count(interval.rate("lossd_elements_total", { loss, dtype })),
        count(elements),
      ]),
  );
}

// Returns a table of the methods that were called, and one of what was computed.
export function calls(interval) {
  const methods = [...sumBy(interval.later, "lossd_requests_total", "method")]
    .filter(([, number]) => number > 0)
    .map(([method]) => callRow(interval, method));
  const titles = [":Method", "per second", "50 %", "90 %", "99 %", "since the start", ":not OK since the start"];
  if (methods.length === 0) return [];
  return [
    table(titles, methods),
    table([":Loss", "elements per second", "since the start"], workRows(interval)),
  ];
}

function pictureOf(interval, title, name, text, where) {
  const values = interval.histogram(name, where);
  if (!(values.count > 0)) return [];
  const at = (q) => percentile(values, q, text);
  const caption = `mean ${text(values.sum / values.count)}, 50 % ${at(0.5)}, 99 % ${at(0.99)}`;
  return [histogramPicture(title, values, caption, text)];
}

// Returns a picture of each histogram that has values.
export function histograms(interval) {
  return [
    ...TIMED.flatMap((method) =>
      pictureOf(interval, `Time of ${method}`, "lossd_request_seconds", seconds, { method }),
    ),
    ...pictureOf(interval, "Wait in the queue", "lossd_queue_seconds", seconds),
    ...pictureOf(interval, "Computing a batch", "lossd_compute_seconds", seconds),
    ...pictureOf(interval, "Requests in a batch", "lossd_batch_requests", count),
    ...pictureOf(interval, "Elements in a batch", "lossd_batch_elements", count),
  ];
}

// Returns a table of the training jobs that requests named.
export function jobs(interval) {
  const rows = jobRows(interval);
  return rows.length === 0 ? [] : [table(JOB_TITLES, rows)];
}
