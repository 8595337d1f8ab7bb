// Reads /metrics again and again, and shows what the server does.

import { parse, sum } from "./exposition.mjs";
import { Interval, labelOf, startOf } from "./interval.mjs";
import { duration } from "./quantity.mjs";
import { calls, histograms, jobs, tiles } from "./sections.mjs";

const PERIOD = 2; // seconds between two readings
const PATIENCE = 5; // seconds until a reading is given up
const RATES = 10; // rates are those of so many seconds
const KEPT = 60; // histograms are those of so many seconds, and so long are lines

let readings = []; // the oldest first, all of one process

async function read() {
  const options = { cache: "no-store", signal: AbortSignal.timeout(PATIENCE * 1000) };
  const answer = await fetch("metrics", options);
  if (!answer.ok) throw new Error(`/metrics answers with ${answer.status}`);
  return { seconds: performance.now() / 1000, metrics: parse(await answer.text()) };
}

function keep(reading) {
  const last = readings.at(-1);
  if (last && startOf(last.metrics) !== startOf(reading.metrics)) readings = [];
  readings = [...readings, reading].filter(({ seconds }) => reading.seconds - seconds <= KEPT);
}

// Returns the interval from the oldest reading of the last `seconds` to the newest.
function last(seconds) {
  const newest = readings.at(-1);
  const oldest = readings.find((reading) => newest.seconds - reading.seconds <= seconds);
  return new Interval(oldest, newest);
}

function showHealth(text, name) {
  const health = document.getElementById("health");
  health.textContent = text;
  health.className = name;
  document.querySelector("main").classList.toggle("stale", name === "silent");
}

function showWho(metrics) {
  const up = Date.now() / 1000 - startOf(metrics);
  document.getElementById("who").textContent =
    `${labelOf(metrics, "lossd_build_info", "version")} on ` +
    `${labelOf(metrics, "lossd_build_info", "backend")}, up ${duration(Math.max(up, 0))}`;
}

// Fills a section, and hides it if there is nothing to say.
function show(name, elements) {
  const section = document.getElementById(name);
  section.hidden = elements.length === 0;
  section.querySelector("div").replaceChildren(...elements);
}

function showAll() {
  const { metrics } = readings.at(-1);
  const serving = sum(metrics, "lossd_serving") === 1;
  showHealth(serving ? "serving" : "not serving", serving ? "serving" : "down");
  showWho(metrics);
  document.getElementById("notice").textContent = "";
  if (readings.length < 2) return;
  const steps = readings.slice(1).map((reading, i) => new Interval(readings[i], reading));
  const recent = last(KEPT);
  show("now", tiles(last(RATES), steps));
  show("calls", calls(last(RATES)));
  show("jobs", jobs(last(RATES)));
  show("histograms", histograms(recent));
  document.querySelector("#histograms small").textContent = `of the last ${Math.round(recent.seconds)} s`;
}

function showSilence(why) {
  showHealth("no answer", "silent");
  document.getElementById("notice").textContent = `The server does not answer: ${why.message}`;
}

async function turn() {
  const reading = document.hidden ? null : await read().catch(showSilence);
  if (reading) {
    keep(reading);
    showAll();
  }
  // The first interval is short, so that there is something to see soon.
  setTimeout(turn, readings.length < 2 ? 500 : PERIOD * 1000);
}

document.title = `lossd ${location.host}`;
turn();
