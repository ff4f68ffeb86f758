// Live updates: one event source per visible page, told as DOM events on the body, and a bar while it is broken.
//
//   live:discrepancy  a finding was published; event.detail is the message of its topic
//   live:pulse        something changed (at most once a second): hx-trigger="live:pulse from:body"
//   live:reload       too much changed to be told one by one, or the connection is back: ask again for everything
//   live:tick         some seconds have passed while the page can be seen: what tells its own age reads itself anew
//
// <tbody data-live-rows="latest" data-live-max="10" data-live-when='{"rule": ["one-sided"]}'> takes the rows that the
// server renders from _live_latest.html: a row whose id is there replaces it, a new one comes first. A message is here before its
// row can be read, so rows that htmx brings anew do not take away what has just come.
import htmx from "htmx.org";
import { replaceWith } from "./focus.js";
import { showTimes } from "./times.js";

const SILENT_MS = 25_000; // the server sends a beat every 10 s
const RETRY_MS = [1_000, 2_000, 5_000, 10_000];
const TICK_MS = 5_000;
const READABLE_MS = 5_000;

let source = null;
let silence = 0;
let failures = 0;
let wasLost = false;
const pushed = new Map();

const tell = (kind, detail = {}) => document.body.dispatchEvent(new CustomEvent(`live:${kind}`, { bubbles: true, detail }));

function address() {
  const rows = document.querySelector("[data-live-rows]")?.dataset.liveRows;
  return document.body.dataset.live + (rows ? `?row=${encodeURIComponent(rows)}` : "");
}

function heard() {
  clearTimeout(silence);
  silence = setTimeout(lost, SILENT_MS);
  failures = 0;
  document.getElementById("connection").hidden = true;
  if (wasLost) {
    wasLost = false;
    tell("reload");
  }
}

function close() {
  clearTimeout(silence);
  source?.close();
  source = null;
}

function lost() {
  close();
  wasLost = true;
  if (document.hidden) return;
  document.getElementById("connection").hidden = false;
  const wait = RETRY_MS[Math.min(failures, RETRY_MS.length - 1)];
  failures += 1;
  setTimeout(askAgain, wait);
}

/** An event source does not tell why it broke, so a short request finds out whether the session is over. */
async function askAgain() {
  if (source || document.hidden) return;
  try {
    const answer = await fetch("/live/allowed", { headers: { "HX-Request": "true", "HX-Current-URL": location.href } });
    const elsewhere = answer.headers.get("HX-Redirect");
    if (elsewhere) {
      location.assign(elsewhere);
      return;
    }
    if (!answer.ok) throw new Error(String(answer.status));
  } catch {
    lost();
    return;
  }
  open();
}

function open() {
  if (source || document.hidden) return;
  source = new EventSource(address());
  source.onerror = lost;
  source.addEventListener("open", heard);
  source.addEventListener("beat", heard);
  source.addEventListener("again", () => {
    close();
    open();
  });
  source.addEventListener("pulse", () => {
    heard();
    tell("pulse");
  });
  source.addEventListener("reload", () => {
    heard();
    tell("reload");
  });
  source.addEventListener("discrepancy", (event) => {
    heard();
    const { row, ...finding } = JSON.parse(event.data);
    if (row) showRow(row, finding);
    tell("discrepancy", finding);
  });
}

function fits(body, finding) {
  const wanted = JSON.parse(body.dataset.liveWhen ?? "{}");
  return Object.entries(wanted).every(([name, values]) => values.includes(finding[name]));
}

function showRow(html, finding) {
  const holder = document.createElement("template");
  holder.innerHTML = html;
  const row = holder.content.firstElementChild;
  if (!row) return;
  pushed.delete(row.id);
  pushed.set(row.id, { row, finding, at: Date.now() });
  for (const [id, { at }] of pushed) if (Date.now() - at > READABLE_MS) pushed.delete(id);
  for (const body of document.querySelectorAll("[data-live-rows]")) {
    if (rowOf(body, row.id) || fits(body, finding)) place(body, row, rowOf(body, row.id));
  }
}

function rowOf(body, id) {
  return body.querySelector(`#${CSS.escape(id)}`);
}

/** Puts a copy of the row in the place of the one that is known, else first. */
function place(body, row, known) {
  const shown = row.cloneNode(true);
  if (known) replaceWith(known, shown);
  else body.prepend(shown);
  shown.classList.add("fresh");
  htmx.process(shown);
  const max = Number(body.dataset.liveMax ?? 0);
  while (max && body.rows.length > max) body.deleteRow(-1);
  showTimes(shown);
}

function keepPushed({ detail: { target } }) {
  if (!target.matches?.("[data-live-rows]")) return;
  for (const [id, { row, finding, at }] of pushed) {
    if (Date.now() - at <= READABLE_MS && !rowOf(target, id) && fits(target, finding)) place(target, row);
  }
}

export function startLive() {
  if (!document.body.dataset.live) return;
  // A browser keeps only six connections to a host: a tab that nobody sees gives its own back.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      wasLost = true;
      close();
    } else open();
  });
  document.addEventListener("htmx:afterSwap", keepPushed);
  addEventListener("pagehide", close);
  addEventListener("offline", lost);
  setInterval(() => {
    if (source && !document.hidden) tell("tick");
  }, TICK_MS);
  open();
}
