// Charts of several runs: one small plot a metric with a line a run, in the colour and dashes of the legend.

import { fit, follow, frame, line, place, short, showSmoothing, small, smooth, sync } from "./plot.js";

const told = new Map(); // address -> what the run said; a finished one is not asked again
const plots = new Map(); // metric name -> { plot, readings }

function legend() {
  return [...document.querySelectorAll("#compare-legend [data-metrics]")].map((row) => {
    const drawn = getComputedStyle(row.querySelector(".sign path"));
    const dash = drawn.strokeDasharray === "none" ? undefined : drawn.strokeDasharray.split(",").map(parseFloat);
    return { sign: row.dataset.sign, url: row.dataset.metrics, mark: row.querySelector(".sign"), stroke: drawn.stroke, dash };
  });
}

// The metrics of all runs in reading order; each with what every run has measured of it, gaps left out.
function metrics(runs) {
  const found = new Map();
  runs.forEach(({ url }, index) => {
    const { step, series } = told.get(url) ?? { step: [], series: [] };
    for (const { values, verdict: _, ...about } of series) {
      const metric = found.get(about.name) ?? { about, curves: runs.map(() => [[], []]) };
      const measured = step.map((_, at) => at).filter((at) => values[at] !== null);
      metric.curves[index] = [measured.map((at) => step[at]), measured.map((at) => values[at])];
      found.set(about.name, metric);
    }
  });
  return [...found.values()].sort(({ about: a }, { about: b }) => a.rank - b.rank || a.name.localeCompare(b.name));
}

function columns(curves) {
  return window.uPlot.join(curves.map(([step, values]) => [step, values, smooth(values)]));
}

// Each run's value at the cursor's step; without a cursor, its last.
function showReadings({ cursor, data }, readings) {
  readings.forEach((reading, index) => {
    const values = data[2 * index + 1];
    const at = cursor.idx ?? values.findLastIndex((value) => value !== null && value !== undefined);
    reading.textContent = short(values[at]);
  });
}

function reading(list, { mark }) {
  const item = document.createElement("li");
  const value = document.createElement("span");
  item.append(mark.cloneNode(true), value);
  list.append(item);
  return value;
}

function draw(runs, { about, curves }) {
  const list = document.createElement("ul");
  list.className = "readings";
  const shown = runs.map((run, index) => (curves[index][0].length ? reading(list, run) : document.createElement("span")));
  const element = frame(about, list);
  element.setAttribute("aria-label", about.title);
  const lines = runs.flatMap(({ stroke, dash }) => line({ stroke, dash, maxPoints: 16 }));
  const plot = new window.uPlot(small(element, 210, lines, (u) => showReadings(u, shown)), columns(curves), element);
  sync.sub(plot);
  plots.set(about.name, { plot, readings: shown, drawn: shape(curves) });
  showReadings(plot, shown);
}

// Which runs have a line: a run that begins to tell a metric gets a reading in its chart.
function shape(curves) {
  return curves.map(([step]) => Number(step.length > 0)).join("");
}

function show() {
  const runs = legend();
  const found = metrics(runs);
  if (!found.length) return;
  place.hidden = false;
  if (found.some(({ about, curves }) => plots.get(about.name)?.drawn !== shape(curves))) {
    for (const { plot } of plots.values()) plot.destroy();
    plots.clear();
    for (const grid of place.querySelectorAll(".charts")) grid.replaceChildren();
    for (const metric of found) draw(runs, metric);
    return;
  }
  for (const { about, curves } of found) {
    const { plot, readings } = plots.get(about.name);
    plot.setData(columns(curves));
    showReadings(plot, readings);
  }
}

async function ask({ url }) {
  const answer = await fetch(url, { headers: { Accept: "application/json" } });
  if (answer.ok) told.set(url, await answer.json());
}

async function refresh() {
  const open = legend().filter(({ url }) => !told.get(url)?.is_finished);
  await Promise.all(open.map(ask));
  if (open.length) show();
}

function redraw() {
  for (const known of plots.values()) known.drawn = null;
  show();
}

function resmooth() {
  for (const { plot } of plots.values()) showSmoothing(plot);
  show();
}

function refit() {
  for (const { plot } of plots.values()) fit(plot);
}

if (place && window.uPlot) follow({ refresh, redraw, resmooth, refit });
