// What is brought anew must not take the focus away from somebody who reads with the keyboard.
const focusable = 'a[href], button, summary, input, select, textarea, [tabindex="0"]';

const controls = (target) => [...target.querySelectorAll(focusable)];
const nameOf = (control) => ["href", "aria-label", "name"].map((name) => control.getAttribute(name) ?? "").join(" ").trim();

/** Where the focus is in there: its row or other part with an id, as far as it is in one, and which control it is. */
export function focusIn(target) {
  const held = document.activeElement;
  if (held === target || !target.contains(held)) return null;
  const part = held.parentElement.closest("[id]");
  const isWithin = part !== null && part !== target && target.contains(part);
  return {
    part: isWithin ? { id: part.id, number: controls(part).indexOf(held) } : null,
    number: controls(target).indexOf(held),
    name: nameOf(held),
  };
}

/** Gives the focus to the same control of what is there now, or to the one in its place. */
export function focusAgain(target, focus) {
  if (!focus) return;
  const part = focus.part ? target.querySelector(`#${CSS.escape(focus.part.id)}`) : null;
  const all = controls(part ?? target);
  const inPlace = all[part ? focus.part.number : focus.number];
  const isSame = !focus.name || (inPlace && nameOf(inPlace) === focus.name);
  const control = isSame ? inPlace : (all.find((each) => nameOf(each) === focus.name) ?? inPlace);
  control?.focus({ preventScroll: true });
}

/** Puts an element in the place of another one; a control that had the focus has it again. */
export function replaceWith(shown, brought) {
  const focus = focusIn(shown);
  shown.replaceWith(brought);
  focusAgain(brought, focus);
}
