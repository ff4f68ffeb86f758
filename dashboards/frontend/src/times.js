// Puts every <time datetime> into the viewer's zone. Without this script it stays UTC, and says so.
const two = (number) => String(number).padStart(2, "0");

const day = (when) => `${when.getFullYear()}-${two(when.getMonth() + 1)}-${two(when.getDate())}`;
const clock = (when) => `${two(when.getHours())}:${two(when.getMinutes())}:${two(when.getSeconds())}`;

const STEPS = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];
const AGO_EVERY_MS = 10_000;

// Made once: a page shows hundreds of times, and to make one of these takes longer than to write a time with it.
const words = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: "always", style: "short" });

/** How long ago, in the page's language. */
function ago(when) {
  const seconds = (when.getTime() - Date.now()) / 1000;
  const [unit, size] = STEPS.find(([, each]) => Math.abs(seconds) >= each) ?? STEPS.at(-1);
  return words.format(Math.trunc(seconds / size), unit);
}

/** Writes the times within an element. */
export function showTimes(root) {
  const here = zone();
  for (const element of root.querySelectorAll("time[datetime]")) {
    const when = new Date(element.dateTime);
    if (Number.isNaN(when.getTime())) continue;
    const full = `${day(when)} ${clock(when)}`;
    const style = element.dataset.style;
    const text = style === "ago" ? ago(when) : style === "day" ? day(when) : full;
    if (element.textContent !== text) element.textContent = text;
    element.title = `${full} ${here} · ${element.dateTime}`;
  }
}

/** The viewer's zone and its distance from UTC, such as "Asia/Shanghai (UTC+08:00)". */
function zone() {
  const minutes = -new Date().getTimezoneOffset();
  const distance = `${minutes < 0 ? "−" : "+"}${two(Math.trunc(Math.abs(minutes) / 60))}:${two(Math.abs(minutes) % 60)}`;
  return `${Intl.DateTimeFormat().resolvedOptions().timeZone} (UTC${distance})`;
}

export function startTimes() {
  for (const element of document.querySelectorAll("[data-zone]")) element.textContent = zone();
  showTimes(document);
  document.addEventListener("htmx:load", (event) => showTimes(event.target.parentElement ?? event.target));
  setInterval(() => showTimes(document), AGO_EVERY_MS);
}
