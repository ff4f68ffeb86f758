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
    axisLabel: { ...text },
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

function options(element) {
  const given = JSON.parse(document.getElementById(element.dataset.chart).textContent);
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
  charts.get(element)?.dispose();
  const chart = init(element, looks(), { renderer: "canvas" });
  chart.setOption(options(element));
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
    if (chart) chart.setOption(options(element), { replaceMerge: ["series"] });
    else draw(element);
  }
}

document.addEventListener("htmx:load", drawAll);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const element of [...charts.keys()]) draw(element);
});
drawAll();
