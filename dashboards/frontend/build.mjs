// Builds the scripts and styles of the pages into dashboards/static, which a wheel carries and git does not.
import { cp, readFile, rm, writeFile } from "node:fs/promises";
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
  legalComments: "none",
  logLevel: "warning",
});
await cp(here("src/icon.svg"), `${target}/icon.svg`);

// The licences of what is bundled travel beside it.
const bundled = { echarts: ["LICENSE", "NOTICE"], "htmx.org": ["LICENSE"], tslib: ["LICENSE.txt"], zrender: ["LICENSE"] };
const texts = Object.entries(bundled).flatMap(([name, files]) =>
  files.map(async (file) => `${name}\n\n${await readFile(here(`node_modules/${name}/${file}`), "utf8")}`),
);
await writeFile(`${target}/LICENSES.txt`, (await Promise.all(texts)).join("\n\n"));
