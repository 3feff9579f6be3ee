// Charts of a run: one small plot a metric, their cursors in step.

import { fit, follow, frame, line, place, resolved, shared, short, showSmoothing, small, smooth, sync, tellHealth } from "./plot.js";

const plots = new Map(); // metric name -> { plot, now }
let together = null; // the chart of several metrics on the validation prompts, once there are two measurements

function columns(step, values) {
  return [step, values, smooth(values)];
}

function showNow(plot, now) {
  const index = plot.cursor.idx;
  const values = plot.data[1];
  now.textContent = short(index === null || index === undefined ? values.findLast((value) => value !== null) : values[index]);
}

function draw(step, series) {
  const data = columns(step, series.values);
  const known = plots.get(series.name);
  if (known) {
    known.plot.setData(data);
    showNow(known.plot, known.now);
    tellHealth(known.element, series);
    return;
  }
  const now = document.createElement("span");
  now.className = "now";
  const element = frame(series, now);
  element.setAttribute("aria-label", `${series.title}: ${place.dataset.last} ${short(series.values.at(-1))}`);
  const lines = line({ stroke: getComputedStyle(element).color, maxPoints: 40 });
  const plot = new window.uPlot(small(element, 150, lines, (u) => showNow(u, now)), data, element);
  sync.sub(plot);
  plots.set(series.name, { plot, now, element });
  showNow(plot, now);
}

function resmooth() {
  for (const { plot } of plots.values()) {
    showSmoothing(plot);
    plot.setData(columns(plot.data[0], plot.data[1]));
  }
}

// Held-out reward beside what it is bought with: how far the policy moved, and how unsure the reward model is of it.
function drawTogether(step, series) {
  const box = document.getElementById("charts-together");
  const named = Object.fromEntries(series.map((one) => [one.name, one]));
  const wanted = [
    { found: named.eval_reward, scale: "reward", token: "--accent" },
    { found: named.eval_kl_nats_per_sequence, scale: "kl", token: "--brass" },
    { found: named.eval_reward_disagreement, scale: "apart", token: "--ink-3", dash: [5, 4] },
  ].filter(({ found }) => found);
  const measured = step.filter((_, index) => named.eval_reward && named.eval_reward.values[index] !== null);
  if (wanted.length < 2 || measured.length < 2) return;
  const data = [step, ...wanted.map(({ found }) => found.values)];
  if (together) {
    together.setData(data);
    return;
  }
  box.hidden = false;
  const element = box.querySelector(".plot");
  const { axis, steps, cursor, scales } = shared();
  const label = ({ found, scale }) => (scale === "kl" ? `${found.title}, ${found.unit}` : found.title);
  together = new window.uPlot(
    {
      width: element.clientWidth || 300,
      height: 220,
      cursor,
      scales,
      axes: [
        steps,
        ...wanted.slice(0, 2).map(({ scale, token }, index) => ({
          ...axis, scale, stroke: resolved(token), side: index ? 1 : 3, size: 50, grid: { ...axis.grid, show: !index },
        })),
      ],
      series: [
        { label: place.dataset.step },
        ...wanted.map((one) => ({
          label: label(one), scale: one.scale, stroke: resolved(one.token), dash: one.dash, width: 2, spanGaps: true,
          points: { show: true, size: 5, fill: resolved(one.token) }, value: (_, value) => short(value),
        })),
      ],
    },
    data,
    element,
  );
  sync.sub(together);
}

async function refresh() {
  const answer = await fetch(place.dataset.url, { headers: { Accept: "application/json" } });
  if (!answer.ok) return;
  const { step, series } = await answer.json();
  if (!step.length) return;
  place.hidden = false;
  drawTogether(step, series);
  for (const one of series) draw(step, one);
}

function redraw() {
  for (const { plot } of plots.values()) plot.destroy();
  plots.clear();
  together?.destroy();
  together = null;
  for (const grid of place.querySelectorAll(".charts")) grid.replaceChildren();
  refresh();
}

function refit() {
  for (const { plot } of plots.values()) fit(plot);
  if (together) fit(together);
}

// The log keeps its place at the end, and its fold stays as the reader left it, when the part around it is replaced.
let isLogOpen = null;

function keepLog() {
  const fold = document.getElementById("log-fold");
  if (!fold) return;
  if (isLogOpen !== null) fold.open = isLogOpen;
  const log = document.getElementById("log");
  log.scrollTop = log.scrollHeight;
  fold.addEventListener("toggle", () => {
    isLogOpen = fold.open;
    log.scrollTop = log.scrollHeight;
  });
}

if (place && window.uPlot) {
  document.addEventListener("htmx:after:swap", keepLog);
  keepLog();
  follow({ refresh, redraw, resmooth, refit });
}
