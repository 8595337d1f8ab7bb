import assert from "node:assert/strict";
import { test } from "node:test";

import { parse } from "../../../../server/observability/page/exposition.mjs";
import { Interval } from "../../../../server/observability/page/interval.mjs";
import { JOB_TITLES, jobRows } from "../../../../server/observability/page/jobs.mjs";

const page = (values) =>
  Object.entries(values)
    .map(([name, value]) => `lossd_job_${name}{training_job="a"} ${value}\n`)
    .join("");

const NOTHING = {
  requests_total: 0, elements_total: 0, nan_logits_total: 0, loss_sum: 0, loss_count: 0,
  negative_loss_total: 0, bad_losses_total: 0, gradient_square_sum: 0, gradient_square_count: 0,
  bad_gradients_total: 0, sampled_elements_total: 0, positives_total: 0, saturated_total: 0,
};

const rows = (later) =>
  jobRows(new Interval({ seconds: 0, metrics: parse(page(NOTHING)) }, { seconds: 2, metrics: parse(page({ ...NOTHING, ...later })) }));

test("a job that does nothing has no means", () => {
  assert.deepEqual(rows({}), [["a", "0", "0", "-", "-", "-", "-", "0", "0", "0"]]);
});

test("means are of what came in the interval", () => {
  const [row] = rows({
    requests_total: 4, elements_total: 4000, nan_logits_total: 3, loss_sum: 5000, loss_count: 2000,
    negative_loss_total: 1000, gradient_square_sum: 36, gradient_square_count: 4,
    sampled_elements_total: 200, positives_total: 50, saturated_total: 1,
  });
  assert.deepEqual(row, ["a", "2", "2000", "2", "3", "25.0 %", "0.50 %", "3", "0", "0"]);
  assert.equal(row.length, JOB_TITLES.length);
});
