// Builds what is named: `dist` (what the node serves), `mock` (the server for development), `tests`.
// The bytes of dist depend on this folder alone: exact versions, no times, no paths, no hashes in names.
//
// Packages, and why:
// - preact: pages as functions of state in 5 kB; hooks and context are all that is used of it.
// - CodeMirror 6 with lang-sql, by its parts: completion, marks and screen readers in an editor are not written by hand. Not the
//   package `codemirror`, which adds search and folding and whose newest version is CodeMirror 5.
// - d3-scale: round ticks, logarithmic and time axes. A plotting library draws a hidden cell as nothing or as 0.
// - esbuild and typescript, to build; playwright-core, to walk through the pages with Debian's Chromium. None is in dist.
import { build } from "esbuild";
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";

const common = { bundle: true, charset: "utf8", logLevel: "warning", legalComments: "none" };
const node = { ...common, platform: "node", format: "esm", target: "node20", packages: "external" };

const targets = { dist, mock, tests };
for (const name of process.argv.slice(2)) await targets[name]();

async function dist() {
  await rm("dist", { recursive: true, force: true });
  await mkdir("dist");
  const built = await build({
    ...common,
    metafile: true,
    entryPoints: { console: "src/main.tsx", style: "src/style/style.css" },
    outdir: "dist",
    format: "esm",
    minify: true,
    target: ["chrome111", "firefox114", "safari16.4"],
    jsx: "automatic",
    jsxImportSource: "preact",
  });
  await copyFile("index.html", "dist/index.html");
  await copyFile("src/icon.svg", "dist/icon.svg");
  await writeFile("dist/licences.txt", await licences(Object.keys(built.metafile.inputs)));
}

// The licences of the packages that are in the bundle, as they ask for.
async function licences(inputs) {
  const found = inputs.map((input) => /^node_modules\/(@[^/]+\/[^/]+|[^/]+)/.exec(input)?.[1]);
  const names = [...new Set(found.filter((name) => name !== undefined))].sort();
  const texts = names.map(async (name) => {
    const files = await readdir(`node_modules/${name}`);
    const licence = files.find((file) => /^licen[cs]e/i.test(file));
    if (licence === undefined) throw new Error(`${name} has no licence file`);
    const { version } = JSON.parse(await readFile(`node_modules/${name}/package.json`, "utf8"));
    return `${name} ${version}\n\n${(await readFile(`node_modules/${name}/${licence}`, "utf8")).trim()}\n`;
  });
  return (await Promise.all(texts)).join(`\n${"-".repeat(80)}\n\n`);
}

async function mock() {
  await build({ ...node, entryPoints: ["mock/mock.ts"], outdir: "build", outExtension: { ".js": ".mjs" } });
}

async function tests() {
  await rm("build", { recursive: true, force: true });
  const named = async (folder) =>
    (await readdir(folder)).filter((name) => name.endsWith(".test.ts")).map((name) => `${folder}/${name}`);
  const compiled = (entryPoints, outdir) =>
    build({
      ...node,
      entryPoints,
      outdir,
      jsx: "automatic",
      jsxImportSource: "preact",
      outExtension: { ".js": ".mjs" },
    });
  await compiled(await named("test"), "build/tests");
  await compiled(await named("test/walk"), "build/walk");
}
