// The script of every page: htmx, and what our own attributes do.
import "htmx.org";
import { startCases } from "./cases.js";
import { startClipboard } from "./clipboard.js";
import { startLive } from "./live.js";
import { startTimes } from "./times.js";

startTimes();
startClipboard();
startLive();
startCases();

// On a phone the row of pages is wider than the screen.
document.querySelector(".pages [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
