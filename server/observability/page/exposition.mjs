// Reads Prometheus' text format, as far as /metrics uses it.

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;
const ESCAPED = { n: "\n", "\\": "\\", '"': '"' };

function labelsOf(text) {
  const labels = {};
  for (const [, name, value] of (text ?? "").matchAll(LABEL)) {
    labels[name] = value.replace(/\\(.)/g, (all, letter) => ESCAPED[letter] ?? all);
  }
  return labels;
}

function numberOf(text) {
  if (text === "+Inf") return Infinity;
  return text === "-Inf" ? -Infinity : Number(text); // "Nan" is NaN
}

// Returns a Map of each metric's name to its samples, [{labels, value}].
export function parse(text) {
  const metrics = new Map();
  for (const line of text.split("\n")) {
    const found = line.startsWith("#") ? null : line.match(SAMPLE);
    if (found === null) continue;
    const [, name, labels, value] = found;
    if (!metrics.has(name)) metrics.set(name, []);
    metrics.get(name).push({ labels: labelsOf(labels), value: numberOf(value) });
  }
  return metrics;
}

// Returns the samples of a metric that have all of the labels in `where`.
export function samples(metrics, name, where = {}) {
  return (metrics.get(name) ?? []).filter(({ labels }) =>
    Object.entries(where).every(([label, value]) => labels[label] === value),
  );
}

// Returns the sum of those samples: 0 if there is none.
export function sum(metrics, name, where) {
  return samples(metrics, name, where).reduce((total, { value }) => total + value, 0);
}

// Returns a Map of each value of a label to the sum of its samples, in the order of the page.
export function sumBy(metrics, name, label, where) {
  const sums = new Map();
  for (const { labels, value } of samples(metrics, name, where)) {
    sums.set(labels[label], (sums.get(labels[label]) ?? 0) + value);
  }
  return sums;
}

// Returns {bounds, counts, sum, count} of a histogram, or of the sum of several. counts[i] is the
// number of values above bounds[i - 1] and up to bounds[i]; the last bound is infinite.
export function histogram(metrics, name, where) {
  const cumulative = new Map();
  for (const { labels, value } of samples(metrics, `${name}_bucket`, where)) {
    const bound = numberOf(labels.le);
    cumulative.set(bound, (cumulative.get(bound) ?? 0) + value);
  }
  const bounds = [...cumulative.keys()].sort((a, b) => a - b);
  const counts = bounds.map((bound, i) => cumulative.get(bound) - (cumulative.get(bounds[i - 1]) ?? 0));
  return {
    bounds,
    counts,
    sum: sum(metrics, `${name}_sum`, where),
    count: sum(metrics, `${name}_count`, where),
  };
}
