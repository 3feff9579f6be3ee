// Charts of a run: one small plot a metric, their cursors in step. They follow the page's own polling: no clock of their own.

const place = document.getElementById("charts");
const smoothing = document.getElementById("smoothing");
const plots = new Map(); // metric name -> { plot, now, values }
let together = null; // the chart of several metrics on the validation prompts, once there are two measurements
const sync = window.uPlot?.sync("run");
const HEIGHT = 150;

function colour(element, property = "color") {
  return getComputedStyle(element).getPropertyValue(property);
}

function resolved(token) {
  const probe = document.createElement("span");
  probe.style.color = `var(${token})`;
  place.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

function short(value) {
  if (value === null || value === undefined) return "–";
  if (value !== 0 && (Math.abs(value) < 0.001 || Math.abs(value) >= 100_000)) return value.toExponential(2);
  return String(Number(value.toPrecision(4)));
}

// An exponential average as W&B and TensorBoard draw it: its early values are not pulled towards 0.
function smooth(values, weight) {
  let average = 0;
  let share = 1;
  return values.map((value) => {
    if (value === null) return null;
    average = weight * average + (1 - weight) * value;
    share *= weight;
    return average / (1 - share);
  });
}

function columns(step, values) {
  return [step, values, smooth(values, Number(smoothing.value))];
}

function frame(series) {
  const chart = document.createElement("article");
  chart.className = "chart";
  const header = document.createElement("header");
  const title = document.createElement("h3");
  title.textContent = series.title;
  const now = document.createElement("span");
  now.className = "now";
  const about = document.createElement("p");
  about.className = "about";
  about.textContent = [series.name, series.unit, series.help].filter(Boolean).join(" · ");
  header.append(title, now, about);
  if (series.healthy) {
    const healthy = document.createElement("p");
    healthy.className = "healthy";
    healthy.textContent = `${place.dataset.healthy}: ${series.healthy}`;
    header.append(healthy);
  }
  const plot = document.createElement("div");
  plot.className = "plot";
  plot.setAttribute("role", "img");
  chart.append(header, plot);
  document.getElementById(series.is_main ? "charts-main" : "charts-rest").append(chart);
  if (!series.is_main) document.getElementById("charts-fold").hidden = false;
  return { plot, now };
}

// What all charts share: an axis of values, one of whole steps, and a cursor that stands at the same step everywhere.
function shared() {
  const grid = { stroke: resolved("--line"), width: 1 };
  const font = `11px ${colour(document.body, "font-family")}`;
  const axis = { stroke: resolved("--ink-3"), grid, ticks: { show: false }, font, space: 32, values: (_, ticks) => ticks.map(short) };
  const whole = (_, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? tick : ""));
  return {
    axis,
    steps: { ...axis, grid: { show: false }, size: 24, space: 50, values: whole },
    cursor: { sync: { key: sync.key }, y: false, drag: { x: true, y: false }, points: { size: 7 } },
    scales: { x: { time: false } },
  };
}

function options(element, now) {
  const { axis, steps, cursor, scales } = shared();
  return {
    width: element.clientWidth || 300,
    height: HEIGHT,
    legend: { show: false },
    cursor,
    scales,
    axes: [steps, { ...axis, size: 46 }],
    series: [
      {},
      { stroke: colour(element), width: 1.75, spanGaps: true, alpha: rawAlpha(), points: { show: (u) => u.data[0].length < 40, size: 4, fill: colour(element) } },
      { stroke: colour(element), width: 2.25, spanGaps: true, show: isSmooth(), points: { show: false } },
    ],
    hooks: { setCursor: [(u) => showNow(u, now)] },
  };
}

function isSmooth() {
  return Number(smoothing.value) > 0;
}

function rawAlpha() {
  return isSmooth() ? 0.3 : 1;
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
    return;
  }
  const { plot: element, now } = frame(series);
  element.setAttribute("aria-label", `${series.title}: ${place.dataset.last} ${short(series.values.at(-1))}`);
  const plot = new window.uPlot(options(element, now), data, element);
  sync.sub(plot);
  plots.set(series.name, { plot, now });
  showNow(plot, now);
}

function resmooth() {
  for (const { plot } of plots.values()) {
    plot.series[1].alpha = rawAlpha();
    plot.setSeries(2, { show: isSmooth() });
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

function fit() {
  for (const { plot } of plots.values()) {
    const width = plot.root.parentElement.clientWidth;
    if (width && width !== plot.width) plot.setSize({ width, height: HEIGHT });
  }
  const width = together?.root.parentElement.clientWidth;
  if (width && width !== together.width) together.setSize({ width, height: together.height });
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
  document.addEventListener("htmx:after:swap", () => {
    keepLog();
    refresh();
  });
  document.addEventListener("themechange", redraw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  smoothing.addEventListener("input", resmooth);
  new ResizeObserver(fit).observe(place);
  document.getElementById("charts-fold").addEventListener("toggle", fit);
  keepLog();
  refresh();
}
