// The list of discrepancies, and whatever is refreshed while somebody reads it.
//
//   data-choose-all    a checkbox that chooses every row of its form; data-chosen tells how many are chosen
//   data-fresh-rows    the address of the rows as they are now. A row that has changed is replaced and marked, one that is new
//                      comes first where the list begins with the newest; what a person has chosen in unchanged rows stays
//   data-keep-open     what is open in here stays open, and keeps the focus, when htmx brings it anew; while text in it is
//                      selected, it stays as it is
import htmx from "htmx.org";
import { focusAgain, focusIn, replaceWith } from "./focus.js";
import { showTimes } from "./times.js";

const REFRESH_MS = 4_000;

function boxes(form) {
  return [...form.querySelectorAll('input[name="case"]')];
}

function countChosen(form) {
  const chosen = boxes(form).filter((box) => box.checked).length;
  const told = form.querySelector("[data-chosen]");
  if (told) told.textContent = chosen ? told.dataset.chosen.replace("%(num)s", chosen) : "";
  const all = form.querySelector("[data-choose-all]");
  if (all) {
    all.checked = chosen > 0 && chosen === boxes(form).length;
    all.indeterminate = chosen > 0 && !all.checked;
  }
}

function startChoosing() {
  for (const all of document.querySelectorAll("[data-choose-all]")) all.hidden = false;
  document.addEventListener("change", ({ target }) => {
    const form = target.closest?.("form.cases-form");
    if (!form) return;
    if (target.matches("[data-choose-all]")) for (const box of boxes(form)) box.checked = target.checked;
    countChosen(form);
  });
}

let refreshedAt = 0;
let waiting = 0;

/** At most one reading of the rows in REFRESH_MS, and the last one never left out. */
function refreshSoon() {
  if (waiting || !document.querySelector("[data-fresh-rows]")) return;
  waiting = setTimeout(refresh, Math.max(0, refreshedAt + REFRESH_MS - Date.now()));
}

async function refresh() {
  waiting = 0;
  refreshedAt = Date.now();
  const body = document.querySelector("[data-fresh-rows]");
  if (!body) return;
  let answer;
  try {
    answer = await fetch(body.dataset.freshRows, { headers: { "HX-Request": "true", "HX-Current-URL": location.href } });
  } catch {
    return; // The bar above tells that the connection is lost.
  }
  const elsewhere = answer.headers.get("HX-Redirect");
  if (elsewhere) location.assign(elsewhere);
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.querySelector("[data-fresh-rows]");
  if (fresh) bring(body, fresh);
}

/** Takes the rows as they are now into the table, each where it stands in the list. */
function bring(body, fresh) {
  const takesNew = body.dataset.liveWhen !== '{"status": []}';
  let next = null;
  for (const row of [...fresh.rows].reverse()) {
    const shown = document.getElementById(row.id);
    if (shown?.dataset.state === row.dataset.state) {
      next = shown;
      continue;
    }
    if (!shown && !takesNew) continue;
    const brought = document.importNode(row, true);
    if (!shown) body.insertBefore(brought, next);
    else {
      // A row from the live messages has no state yet: only its cells are completed.
      if (shown.dataset.state !== undefined) brought.classList.add("changed");
      replaceWith(shown, brought);
    }
    brought.classList.add("fresh");
    htmx.process(brought);
    next = brought;
  }
  showTimes(body);
  countChosen(body.closest("form"));
}

const kept = new Map();

function startKeepingOpen() {
  document.addEventListener("htmx:beforeSwap", ({ detail }) => {
    const { target } = detail;
    if (!target.matches?.("[data-keep-open]")) return;
    const chosen = getSelection();
    if (!chosen.isCollapsed && chosen.containsNode(target, true)) {
      detail.shouldSwap = false;
      return;
    }
    kept.set(target, {
      open: [...target.querySelectorAll("details")].map((each) => each.open),
      focus: focusIn(target),
    });
  });
  document.addEventListener("htmx:afterSwap", ({ detail: { target } }) => {
    const before = kept.get(target);
    if (!before) return;
    kept.delete(target);
    [...target.querySelectorAll("details")].forEach((each, number) => {
      each.open = before.open[number] ?? each.open;
    });
    focusAgain(target, before.focus);
  });
}

export function startCases() {
  startChoosing();
  startKeepingOpen();
  for (const kind of ["live:pulse", "live:reload"]) document.body.addEventListener(kind, refreshSoon);
}
