// Compares two readings of a server's metrics.

import { histogram, samples, sum, sumBy } from "./exposition.mjs";

// Two readings, {seconds, metrics} each, of one process. `seconds` is the browser's clock.
export class Interval {
  constructor(earlier, later) {
    this.earlier = earlier.metrics;
    this.later = later.metrics;
    this.seconds = later.seconds - earlier.seconds;
  }

  // Returns by how much a counter rose.
  increase(name, where) {
    return sum(this.later, name, where) - sum(this.earlier, name, where);
  }

  // Returns by how much a counter rose per second.
  rate(name, where) {
    return this.increase(name, where) / this.seconds;
  }

  // Returns a Map of each value of a label to the rate of its samples.
  ratesBy(name, label, where) {
    const before = sumBy(this.earlier, name, label, where);
    const rates = new Map();
    for (const [value, now] of sumBy(this.later, name, label, where)) {
      rates.set(value, (now - (before.get(value) ?? 0)) / this.seconds);
    }
    return rates;
  }

  // Returns one counter's rise per rise of another: null if the other did not rise.
  ratio(name, per, where) {
    const divisor = this.increase(per, where);
    return divisor > 0 ? this.increase(name, where) / divisor : null;
  }

  // Returns the histogram of the values that came in between.
  histogram(name, where) {
    const before = histogram(this.earlier, name, where);
    const now = histogram(this.later, name, where);
    return {
      bounds: now.bounds,
      counts: now.counts.map((count, i) => count - (before.counts[i] ?? 0)),
      sum: now.sum - before.sum,
      count: now.count - before.count,
    };
  }
}

// Returns the value below which the share `q` of a histogram's values lies, interpolated within its
// bucket as Prometheus does: null without values. In the open bucket it is the last finite bound.
export function quantile({ bounds, counts }, q) {
  const total = counts.reduce((all, count) => all + count, 0);
  if (!(total > 0)) return null;
  let rank = q * total;
  for (let i = 0; i < counts.length; ++i) {
    if (rank <= counts[i] && counts[i] > 0) {
      const low = bounds[i - 1] ?? 0;
      return bounds[i] === Infinity ? low : low + ((bounds[i] - low) * rank) / counts[i];
    }
    rank -= counts[i];
  }
  return bounds.at(-2) ?? null;
}

// Returns the moment of a process's start, which is another after a restart.
export function startOf(metrics) {
  return sum(metrics, "process_start_time_seconds");
}

// Returns the label of the only sample of a metric.
export function labelOf(metrics, name, label) {
  return samples(metrics, name)[0]?.labels[label] ?? "";
}
