// Buttons with data-copy put the text of the <pre> beside them on the clipboard.
const TOLD_MS = 2_000;

async function copy(button) {
  const source = button.closest("details, section, div.copyable")?.querySelector("pre");
  if (!source) return;
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = button.dataset.copied;
  } catch {
    // Without the right to write (such as over plain HTTP to another machine), selecting is as far as we can go.
    getSelection().selectAllChildren(source);
    return;
  }
  setTimeout(() => {
    button.textContent = label;
  }, TOLD_MS);
}

export function startClipboard() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
  });
}
