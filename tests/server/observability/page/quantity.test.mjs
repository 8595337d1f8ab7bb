import assert from "node:assert/strict";
import { test } from "node:test";

import * as quantity from "../../../../server/observability/page/quantity.mjs";

for (const [text, of, number] of [
  ["0", "count", 0],
  ["9999", "count", 9999],
  ["10.0 k", "count", 10_000],
  ["1.00 M", "count", 999_960],
  ["0.25", "count", 0.25],
  ["-", "count", null],
  ["-", "count", NaN],
  ["512 B", "bytes", 512],
  ["1.00 GiB", "bytes", 2 ** 30],
  ["50.0 us", "seconds", 5e-5],
  ["1.00 ms", "seconds", 0.001],
  ["13.1 s", "seconds", 13.1],
  ["-", "seconds", null],
  ["12.3 %", "percent", 0.123],
  ["-", "percent", NaN],
  ["1.235e-7", "plain", 1.23456e-7],
  ["0.6931", "plain", Math.LN2],
  ["0 s", "duration", 0],
  ["59 s", "duration", 59.9],
  ["5 min 6 s", "duration", 306],
  ["3 d 4 h", "duration", 3 * 86400 + 4 * 3600 + 1799],
]) {
  test(`${of}(${number}) is ${text}`, () => assert.equal(quantity[of](number), text));
}
