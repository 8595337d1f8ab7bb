import assert from "node:assert/strict";
import { test } from "node:test";

import {
  histogram,
  parse,
  samples,
  sum,
  sumBy,
} from "../../../../server/observability/page/exposition.mjs";

test("samples have their labels and values", () => {
  const metrics = parse('# HELP a text\n# TYPE a counter\na{x="1",y="2"} 3\na{x="2",y="2"} 4.5\nb 1e+06\n');
  assert.deepEqual(metrics.get("a"), [
    { labels: { x: "1", y: "2" }, value: 3 },
    { labels: { x: "2", y: "2" }, value: 4.5 },
  ]);
  assert.equal(sum(metrics, "a"), 7.5);
  assert.equal(sum(metrics, "a", { x: "2" }), 4.5);
  assert.equal(sum(metrics, "b"), 1e6);
  assert.equal(sum(metrics, "none"), 0);
  assert.equal(samples(metrics, "a", { z: "1" }).length, 0);
  assert.deepEqual([...sumBy(metrics, "a", "y")], [["2", 7.5]]);
});

test("a label may hold anything", () => {
  const metrics = parse('a{job="} 7 \\"\\\\n\\n<b>,x=1"} 2\n');
  assert.deepEqual(metrics.get("a"), [{ labels: { job: '} 7 "\\n\n<b>,x=1' }, value: 2 }]);
});

test("values may be no number, or infinite", () => {
  const metrics = parse("a Nan\nb +Inf\nc -Inf\n");
  assert.ok(Number.isNaN(metrics.get("a")[0].value));
  assert.equal(metrics.get("b")[0].value, Infinity);
  assert.equal(metrics.get("c")[0].value, -Infinity);
});

test("lines that are no samples are left out", () => {
  assert.equal(parse("\n\nnonsense\n{} 1\n<html>\n").size, 0);
});

test("a histogram has the values of each bucket alone", () => {
  const metrics = parse(
    'h_bucket{le="1"} 1\nh_bucket{le="2"} 4\nh_bucket{le="+Inf"} 5\nh_sum 9\nh_count 5\n',
  );
  assert.deepEqual(histogram(metrics, "h"), {
    bounds: [1, 2, Infinity],
    counts: [1, 3, 1],
    sum: 9,
    count: 5,
  });
});

test("histograms of several labels are added up", () => {
  const metrics = parse(
    'h_bucket{m="a",le="1"} 1\nh_bucket{m="a",le="+Inf"} 2\n' +
      'h_bucket{m="b",le="1"} 10\nh_bucket{m="b",le="+Inf"} 30\n',
  );
  assert.deepEqual(histogram(metrics, "h").counts, [11, 21]);
  assert.deepEqual(histogram(metrics, "h", { m: "b" }).counts, [10, 20]);
});
