// The table of training jobs. Their names come from clients.

import { sumBy } from "./exposition.mjs";
import { count, percent, plain } from "./quantity.mjs";

const PREFIX = "lossd_job_";

// Returns what each job did in an interval, as one row of texts for each.
export function jobRows(interval) {
  const jobs = sumBy(interval.later, `${PREFIX}requests_total`, "training_job");
  return [...jobs.keys()].map((job) => jobRow(interval, job));
}

function jobRow(interval, job) {
  const where = { training_job: job };
  const increase = (name) => interval.increase(PREFIX + name, where);
  const perSecond = (name) => increase(name) / interval.seconds;
  const quotient = (number, divisor) => (divisor > 0 ? number / divisor : null);
  const sampled = increase("sampled_elements_total");
  const loss = increase("loss_sum") - increase("negative_loss_total");
  const square = quotient(increase("gradient_square_sum"), increase("gradient_square_count"));
  const bad = ["nan_logits_total", "bad_losses_total", "bad_gradients_total"].map(increase);
  return [
    job,
    count(perSecond("requests_total")),
    count(perSecond("elements_total")),
    plain(quotient(loss, increase("loss_count"))),
    plain(square === null ? null : Math.sqrt(square)),
    percent(quotient(increase("positives_total"), sampled)),
    percent(quotient(increase("saturated_total"), sampled)),
    ...bad.map(count),
  ];
}

// The titles of those columns, as drawing.mjs takes them.
export const JOB_TITLES = [
  ":Job", "requests per second", "elements per second", "mean loss", "gradient norm", "positives",
  "saturated", "NaN logits", "bad losses", "bad gradients",
];
