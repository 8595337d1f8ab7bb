import assert from "node:assert/strict";
import { test } from "node:test";

import { parse } from "../../../../server/observability/page/exposition.mjs";
import { Interval } from "../../../../server/observability/page/interval.mjs";
import { saturationTile } from "../../../../server/observability/page/sections.mjs";

const page = (waited, computed) =>
  parse(`lossd_queue_seconds_sum ${waited}\nlossd_compute_seconds_sum ${computed}\nlossd_executors 4\n`);

// Returns the tile after ten seconds in which so many seconds were waited and computed.
const after = (waited, computed) =>
  saturationTile(
    new Interval({ seconds: 5, metrics: page(1000, 100) }, { seconds: 15, metrics: page(1000 + waited, 100 + computed) }),
  );

test("the value is what waited in the interval for each second of computing", () => {
  assert.equal(after(5, 20).value, "0.25");
  assert.equal(after(40, 20).value, "2");
});

test("nothing computed is no number, no alarm, and the ground of the line", () => {
  const tile = after(7, 0);
  assert.equal(tile.value, "-");
  assert.equal(tile.alarming, false);
  assert.equal(tile.of(new Interval({ seconds: 0, metrics: page(1, 1) }, { seconds: 1, metrics: page(1, 1) })), 0);
});

test("more than three seconds of waiting are an alarm while executors are busy", () => {
  assert.equal(after(60, 20).alarming, false);
  assert.equal(after(61, 20).alarming, true);
});

test("an idle server is not saturated, however long its few requests waited", () => {
  // Four executors computed for a twentieth of ten seconds: two seconds in all.
  assert.equal(after(200, 2).value, "100");
  assert.equal(after(200, 2).alarming, false);
  assert.equal(after(210, 2.1).alarming, true);
});
