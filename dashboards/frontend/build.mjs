// Builds the scripts and styles of the pages into dashboards/static, which a wheel carries and git does not.
import { cp, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const target = here("../static");

await rm(target, { recursive: true, force: true });
await build({
  entryPoints: [here("src/app.js"), here("src/charts.js"), here("src/app.css")],
  outdir: target,
  bundle: true,
  minify: true,
  format: "iife",
  target: ["chrome123", "firefox121", "safari17.5"],
  // Licences of what is bundled travel beside it.
  legalComments: "linked",
  logLevel: "warning",
});
await cp(here("src/icon.svg"), `${target}/icon.svg`);
