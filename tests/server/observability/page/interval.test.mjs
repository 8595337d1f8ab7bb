import assert from "node:assert/strict";
import { test } from "node:test";

import { parse } from "../../../../server/observability/page/exposition.mjs";
import { Interval, quantile } from "../../../../server/observability/page/interval.mjs";

const between = (earlier, later, seconds = 2) =>
  new Interval({ seconds: 10, metrics: parse(earlier) }, { seconds: 10 + seconds, metrics: parse(later) });

test("a rate is an increase per second", () => {
  const interval = between('n{c="a"} 10\n', 'n{c="a"} 30\nn{c="b"} 8\n');
  assert.equal(interval.increase("n"), 28);
  assert.equal(interval.rate("n"), 14);
  assert.deepEqual([...interval.ratesBy("n", "c")], [["a", 10], ["b", 4]]);
});

test("a ratio of nothing is absent", () => {
  assert.equal(between("a 1\nb 1\n", "a 7\nb 3\n").ratio("a", "b"), 3);
  assert.equal(between("a 1\nb 1\n", "a 7\nb 1\n").ratio("a", "b"), null);
});

test("a histogram is that of the values in between", () => {
  const page = (a, b) => `h_bucket{le="1"} ${a}\nh_bucket{le="+Inf"} ${b}\nh_sum ${b}\nh_count ${b}\n`;
  assert.deepEqual(between(page(5, 9), page(6, 19)).histogram("h"), {
    bounds: [1, Infinity],
    counts: [1, 9],
    sum: 10,
    count: 10,
  });
});

test("quantiles are interpolated within a bucket, as Prometheus does", () => {
  const values = { bounds: [1, 2, 4, Infinity], counts: [0, 10, 10, 0] };
  assert.equal(quantile(values, 0.25), 1.5);
  assert.equal(quantile(values, 0.5), 2);
  assert.equal(quantile(values, 0.75), 3);
  assert.equal(quantile(values, 1), 4);
});

test("a quantile in the open bucket is the last bound, and one of nothing is absent", () => {
  assert.equal(quantile({ bounds: [1, 2, Infinity], counts: [0, 0, 5] }, 0.5), 2);
  assert.equal(quantile({ bounds: [1, 2, Infinity], counts: [0, 0, 0] }, 0.5), null);
  assert.equal(quantile({ bounds: [], counts: [] }, 0.5), null);
});
