// Charts: an element with data-chart holds the id of a hidden element whose text is ECharts options as JSON. No script element:
// htmx takes those out of what it brings.
import { BarChart, LineChart, PieChart } from "echarts/charts";
import { AriaComponent, DatasetComponent, GridComponent, LegendComponent, TooltipComponent } from "echarts/components";
import { init, use } from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";

use([
  AriaComponent, BarChart, CanvasRenderer, DatasetComponent, GridComponent, LegendComponent, LineChart, PieChart,
  TooltipComponent,
]);

const SYMBOLS_UPTO = 12;

const charts = new Map();
const probe = document.createElement("span");

/** A colour of the page as it is now; asked by way of an element, for the property itself holds both themes. */
function colour(name) {
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

/** The colours of the page, whichever theme it has. */
function looks() {
  const text = { color: colour("--ink-soft"), fontFamily: getComputedStyle(document.body).fontFamily, fontSize: 12 };
  const axis = {
    axisLine: { lineStyle: { color: colour("--line") } },
    axisLabel: { ...text, hideOverlap: true },
    splitLine: { lineStyle: { color: colour("--line") } },
  };
  return {
    color: [1, 2, 3, 4, 5, 6].map((number) => colour(`--chart-${number}`)),
    backgroundColor: "transparent",
    textStyle: text,
    categoryAxis: axis, valueAxis: axis, timeAxis: axis, logAxis: axis,
    legend: { textStyle: text },
  };
}

/** ECharts options, or null where the data have left the page: a fault takes their place, or the page is being left. */
function options(element) {
  const data = document.getElementById(element.dataset.chart);
  if (!data) return null;
  const given = JSON.parse(data.textContent);
  // A line of a few points shows them: a single one would be no line at all.
  for (const series of given.series) {
    if (series.type === "line") series.showSymbol = series.data.length <= SYMBOLS_UPTO;
  }
  return {
    animation: false,
    aria: { enabled: true },
    grid: { left: 8, right: 8, top: 32, bottom: 8, containLabel: true },
    // Drawn on the canvas: tooltips made of HTML bring inline styles, which the policy of the page forbids.
    tooltip: { trigger: "axis", renderMode: "richText", confine: true },
    ...given,
  };
}

function draw(element) {
  const drawn = options(element);
  if (!drawn) return;
  charts.get(element)?.dispose();
  const chart = init(element, looks(), { renderer: "canvas" });
  chart.setOption(drawn);
  charts.set(element, chart);
  watch.observe(element);
}

const watch = new ResizeObserver((entries) => {
  for (const { target } of entries) charts.get(target)?.resize();
});

/** Draws what is new, writes new figures into what is drawn, and lets go of what has left the page. */
function drawAll() {
  for (const [element, chart] of charts) {
    if (element.isConnected) continue;
    watch.unobserve(element);
    chart.dispose();
    charts.delete(element);
  }
  for (const element of document.querySelectorAll("[data-chart]")) {
    const chart = charts.get(element);
    const fresh = chart && options(element);
    if (!chart) draw(element);
    else if (fresh) chart.setOption(fresh, { replaceMerge: ["series"] });
  }
}

document.addEventListener("htmx:load", drawAll);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const element of [...charts.keys()]) draw(element);
});
drawAll();
