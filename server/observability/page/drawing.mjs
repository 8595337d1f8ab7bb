// Makes the elements of the page. All text is set as text, because names of jobs come from clients.

import { count, percent } from "./quantity.mjs";

const SVG = "http://www.w3.org/2000/svg";

// Returns an element with attributes, then children: elements and texts.
export function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(made, attributes, children) {
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  made.append(...children);
  return made;
}

// Returns a line of values over time, of which the last is now.
function sparkline(values) {
  const [width, height] = [100, 24];
  const most = Math.max(...values, 1e-12);
  const points = values.map((value, i) => {
    const x = (i / Math.max(values.length - 1, 1)) * width;
    return `${x.toFixed(1)},${(height - 1 - (value / most) * (height - 2)).toFixed(1)}`;
  });
  const line = svg("polyline", { points: points.join(" ") });
  return svg(
    "svg",
    { class: "line", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    line,
  );
}

// Returns a bar that is full at 1. Above `full` it has the colour of alarms.
function meter(share, full) {
  const width = Math.min(Math.max(share, 0), 1) * 100;
  return svg(
    "svg",
    { class: "meter", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: "all", width: 100, height: 4 }),
    svg("rect", { class: share > full ? "full" : "part", width, height: 4 }),
  );
}

// Returns a tile. `values` are those of a line below the text; `share`, if it is a number, fills a
// bar instead, which is an alarm above `full`.
export function tile({ title, value, note, alarming, values, share, full }) {
  const picture = share === undefined ? sparkline(values) : meter(share, full);
  return element(
    "article",
    { class: alarming ? "tile alarming" : "tile" },
    element("h3", {}, title),
    element("p", { class: "value" }, value),
    element("p", { class: "note" }, note),
    picture,
  );
}

// Returns a table. A row is a list of texts, the first of which names it. A column whose title
// begins with a colon has texts, the others have numbers.
export function table(titles, rows) {
  const classes = titles.map((title) => (title.startsWith(":") ? {} : { class: "number" }));
  const cells = (row) =>
    row.map((text, i) =>
      i === 0 ? element("th", { scope: "row" }, text) : element("td", classes[i], text),
    );
  const head = titles.map((title, i) =>
    element("th", { scope: "col", ...classes[i] }, title.replace(/^:/, "")),
  );
  return element(
    "table",
    {},
    element("thead", {}, element("tr", {}, ...head)),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...cells(row)))),
  );
}

// Returns the buckets from the first that is not empty to the last, and one more on each side.
function shownBuckets({ bounds, counts }) {
  const used = counts.flatMap((number, i) => (number > 0 ? [i] : []));
  const first = Math.max((used[0] ?? 0) - 1, 0);
  const last = Math.min((used.at(-1) ?? 0) + 1, counts.length - 1);
  return bounds.slice(first, last + 1).map((bound, i) => ({
    count: counts[first + i],
    from: bounds[first + i - 1] ?? 0,
    to: bound,
  }));
}

// Returns a picture of a histogram with a bar for each bucket. `text` makes the text of a bound.
export function histogramPicture(title, values, caption, text) {
  const [width, height, foot] = [320, 110, 16];
  const buckets = shownBuckets(values);
  const most = Math.max(...buckets.map(({ count }) => count));
  const step = width / buckets.length;
  // At most six bounds have room below the bars.
  const every = Math.ceil(buckets.length / 6);
  const parts = buckets.flatMap((bucket, i) => {
    const high = (bucket.count / most) * (height - 4);
    const share = percent(bucket.count / values.count);
    const range = bucket.to === Infinity ? `above ${text(bucket.from)}` : `${text(bucket.from)} to ${text(bucket.to)}`;
    const bar = svg(
      "rect",
      { class: "bar", x: i * step + 1, y: height - high, width: step - 2, height: high },
      svg("title", {}, `${range}: ${count(bucket.count)}, ${share}`),
    );
    const labelled = bucket.to !== Infinity && i % every === 0 && i + 1 < buckets.length;
    const label = svg("text", { x: (i + 1) * step, y: height + foot - 4 }, text(bucket.to));
    return labelled ? [bar, label] : [bar];
  });
  return element(
    "figure",
    {},
    element(
      "figcaption",
      {},
      element("h3", {}, title, element("small", {}, `${count(values.count)} values`)),
      element("p", { class: "note" }, caption),
    ),
    svg(
      "svg",
      { class: "bars", viewBox: `0 0 ${width} ${height + foot}`, role: "img", "aria-label": `${title}: ${caption}` },
      svg("line", { x1: 0, x2: width, y1: height, y2: height }),
      ...parts,
    ),
  );
}
