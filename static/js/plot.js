// What the charts of one run and those of several share: a frame a metric, axes, one cursor, one smoothing.

export const place = document.getElementById("charts");
const smoothing = document.getElementById("smoothing");
export const sync = window.uPlot?.sync("run");

export function resolved(token) {
  const probe = document.createElement("span");
  probe.style.color = `var(${token})`;
  place.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

export function short(value) {
  if (value === null || value === undefined) return "–";
  if (value !== 0 && (Math.abs(value) < 0.001 || Math.abs(value) >= 100_000)) return value.toExponential(2);
  return String(Number(value.toPrecision(4)));
}

export function isSmooth() {
  return Number(smoothing.value) > 0;
}

// An exponential average as W&B and TensorBoard draw it: its early values are not pulled towards 0.
export function smooth(values) {
  const weight = Number(smoothing.value);
  let average = 0;
  let share = 1;
  return values.map((value) => {
    if (value === null) return null;
    average = weight * average + (1 - weight) * value;
    share *= weight;
    return average / (1 - share);
  });
}

export function frame(series, now) {
  const chart = document.createElement("article");
  chart.className = "chart";
  const header = document.createElement("header");
  const title = document.createElement("h3");
  title.textContent = series.title;
  const about = document.createElement("p");
  about.className = "about";
  about.textContent = [series.name, series.unit, series.help].filter(Boolean).join(" · ");
  header.append(title, now, about);
  const healthy = document.createElement("p");
  healthy.className = "healthy";
  header.append(healthy);
  const plot = document.createElement("div");
  plot.className = "plot";
  plot.setAttribute("role", "img");
  chart.append(header, plot);
  document.getElementById(series.is_main ? "charts-main" : "charts-rest").append(chart);
  if (!series.is_main) document.getElementById("charts-fold").hidden = false;
  tellHealth(plot, series);
  return plot;
}

// What is healthy and, where that can be told from the numbers, whether they are.
export function tellHealth(plot, series) {
  const healthy = plot.parentElement.querySelector(".healthy");
  healthy.hidden = !series.healthy;
  const range = `${place.dataset.healthy}: ${series.healthy}`;
  const verdict = series.verdict;
  healthy.dataset.verdict = verdict ? (verdict.is_healthy ? "yes" : "no") : "";
  healthy.textContent = verdict && !verdict.is_healthy ? `${place.dataset.unhealthy}: ${verdict.found}. ${range}` : range;
}

// An axis of values, one of whole steps, and a cursor that stands at the same step everywhere.
export function shared() {
  const grid = { stroke: resolved("--line"), width: 1 };
  const font = `11px ${getComputedStyle(document.body).fontFamily}`;
  const axis = { stroke: resolved("--ink-3"), grid, ticks: { show: false }, font, space: 32, values: (_, ticks) => ticks.map(short) };
  const whole = (_, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? tick : ""));
  return {
    axis,
    steps: { ...axis, grid: { show: false }, size: 24, space: 50, values: whole },
    cursor: { sync: { key: sync.key }, y: false, drag: { x: true, y: false }, points: { size: 7 } },
    scales: { x: { time: false } },
  };
}

// One metric's chart: its lines are drawn faintly once smoothed ones lie over them.
export function small(element, height, series, setCursor) {
  const { axis, steps, cursor, scales } = shared();
  return {
    width: element.clientWidth || 300,
    height,
    legend: { show: false },
    cursor,
    scales,
    axes: [steps, { ...axis, size: 46 }],
    series: [{}, ...series],
    hooks: { setCursor: [setCursor] },
  };
}

export function line({ stroke, dash, maxPoints }) {
  const points = { show: (u) => u.data[0].length < maxPoints, size: 4, fill: stroke };
  return [
    { stroke, dash, width: 1.75, spanGaps: true, alpha: rawAlpha(), points },
    { stroke, dash, width: 2.25, spanGaps: true, show: isSmooth(), points: { show: false } },
  ];
}

function rawAlpha() {
  return isSmooth() ? 0.3 : 1;
}

// Series stand in pairs, raw and smoothed, behind the steps.
export function showSmoothing(plot) {
  for (let index = 1; index < plot.series.length; index += 2) {
    plot.series[index].alpha = rawAlpha();
    plot.setSeries(index + 1, { show: isSmooth() });
  }
}

export function fit(plot) {
  const width = plot.root.parentElement.clientWidth;
  if (width && width !== plot.width) plot.setSize({ width, height: plot.height });
}

// Charts follow the page's own polling: no clock of their own.
export function follow({ refresh, redraw, resmooth, refit }) {
  document.addEventListener("htmx:after:swap", refresh);
  document.addEventListener("themechange", redraw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  smoothing.addEventListener("input", resmooth);
  new ResizeObserver(refit).observe(place);
  document.getElementById("charts-fold").addEventListener("toggle", refit);
  refresh();
}
