// A question that every site allows by rule: how far each site is, and what the plots of its answer mean.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import type { PlotKind } from "../../src/plot/choose";
import { axis, drawn, middle, overlap } from "./drawn";
import type { Drawn } from "./drawn";
import { BY_RULE, CONSILIUM, SETTINGS, SITES, start } from "./nodes";
import type { Nodes } from "./nodes";
import * as steps from "./steps";
import { ask, faults, submit, text } from "./steps";

const skip = steps.skipWithout(CONSILIUM);

/** Every site enters as many patients as any may have: the run is long enough to be watched. */
const LONG = `max_patients = 65536\n${SETTINGS}`;

/** Women for each man by years of birth, with limits of confidence: of two bands every figure is hidden, of more the ratio. */
const QUESTION = `WITH born AS (
  SELECT CASE WHEN year_of_birth < 1913 THEN 1909 WHEN year_of_birth < 1917 THEN 1913 WHEN year_of_birth < 1921 THEN 1917
    WHEN year_of_birth < 1925 THEN 1921 WHEN year_of_birth < 1929 THEN 1925 WHEN year_of_birth < 1933 THEN 1929
    WHEN year_of_birth < 1937 THEN 1933 WHEN year_of_birth < 1941 THEN 1937 WHEN year_of_birth < 1945 THEN 1941
    ELSE 1945 END AS year,
    COUNT(*) AS n, COUNT(*) FILTER (WHERE gender_concept_id = 8532) AS women
  FROM person WHERE year_of_birth < 1949 GROUP BY year)
SELECT year, n, 1.0 * women / (n - women) AS ratio,
  EXP(LN(1.0 * women / (n - women)) - 1.96 * SQRT(1.0 / women + 1.0 / (n - women))) AS lower,
  EXP(LN(1.0 * women / (n - women)) + 1.96 * SQRT(1.0 / women + 1.0 / (n - women))) AS upper
FROM born ORDER BY year`;
const BANDS = 10;
const YEARS = 4;

/** Half a pixel: what no eye sees. */
const NEAR = 0.5;

let browser: Browser;
let nodes: Nodes;

before(async () => {
  if (skip) return;
  nodes = await start({ settings: LONG, policies: Object.fromEntries(SITES.map((site) => [site, BY_RULE])) });
  browser = await steps.launch();
});

after(async () => {
  await browser?.close();
  await nodes?.stop();
});

const pictures = (page: Page, name: string): Promise<void> => steps.pictures(page, `plots-${name}`);

test("every site says that it takes part in a run, and the analyst's own how far it is", { skip }, async () => {
  const page = await steps.enter(browser, nodes.bases.hospital_A, nodes.analyst);
  await ask(page, QUESTION);
  await page.getByLabel("Who receives the answer").selectOption("everyone");
  const seen = await steps.watchSites(page);
  await submit(page);
  await page.locator(".sites").getByRole("progressbar").first().waitFor();
  // A site that stands still halts the run: what the page shows now does not pass while it is looked at.
  nodes.halt("hospital_C");
  const cards = page.locator(".sites li");
  for (const site of SITES) await cards.filter({ hasText: site }).getByText("running", { exact: true }).waitFor();
  // Another page, which has heard of nothing before.
  const other = await steps.enter(browser, nodes.bases.hospital_A, nodes.analyst);
  await other.goto(page.url());
  await other.locator(".sites").getByRole("progressbar").waitFor();
  await pictures(other, "running");
  await other.context().close();
  nodes.resume("hospital_C");
  await page.locator(".plot svg").waitFor({ timeout: 120_000 });

  const shown = await seen();
  for (const site of SITES) {
    const states = shown.filter((of) => of.site === site).map((of) => of.state);
    const order = ["asked", "approved", "running", "done"];
    assert.ok(states.includes("running") && states.at(-1) === "done", `${site}: ${states.join(", ")}`);
    const places = states.map((state) => order.indexOf(state));
    assert.ok(places.every((place, i) => place >= (places[i - 1] ?? 0)), `${site} goes back: ${states.join(", ")}`);
  }
  const own = shown.filter((of) => of.site === "hospital_A" && of.bar !== null).map((of) => of.bar!);
  assert.ok(own.length > 0);
  own.forEach(({ label, value, most, path }, i) => {
    const [round, of] = /^round (\d+)(?: of (\d+))?$/.exec(label)!.slice(1).map((part) => (part ? Number(part) : null));
    // The bar is filled as its words say; without a bound it claims none.
    assert.deepEqual([value, most], of === null ? [null, null] : [round, of], label);
    assert.ok(round! >= (i === 0 ? 0 : own[i - 1]!.round), `${label} after round ${own[i - 1]?.round}`);
    assert.match(path, /^\/\w/);
  });
  assert.ok(
    shown.every((of) => of.bar === null || of.site === "hospital_A"),
    "what others do step by step is not told",
  );
  assert.equal(shown.findLast((of) => of.site === "hospital_A")?.bar, null, "no bar of a run that is over");
  await page.context().close();
});

interface Row {
  year: number;
  n: number | null;
  ratio: number | null;
  lower: number | null;
  upper: number | null;
}
type Figure = "n" | "ratio";

/** The rows of the file that a reader takes home; null is what it hides. */
function rowsOf(csv: string): Row[] {
  const [head, ...lines] = csv.trimEnd().split("\r\n");
  assert.equal(head, "year,n,ratio,lower,upper");
  return lines.map((line) => {
    const [year, n, ratio, lower, upper] = line.split(",").map((cell) => (cell === "<11" ? null : Number(cell)));
    return { year: year!, n: n!, ratio: ratio!, lower: lower!, upper: upper! };
  });
}

/** The table of the page has the same rows, and hides the same cells. */
async function tableHas(page: Page, rows: Row[]): Promise<void> {
  await page.getByRole("button", { name: "Table", exact: true }).click();
  const cells = await page.locator("tbody tr").evaluateAll((lines) =>
    lines.map((line) =>
      [...line.querySelectorAll("td")].map((of) => (of.matches(".hidden-cell") ? null : of.textContent)),
    ),
  );
  const six = (value: number | null) => (value === null ? null : String(Number(value.toPrecision(6))));
  assert.deepEqual(
    cells,
    rows.map(({ year, n, ratio, lower, upper }) => [String(year), six(n), six(ratio), six(lower), six(upper)]),
  );
  await page.getByRole("button", { name: "Plot", exact: true }).click();
}

const near = (drawn: number, meant: number, what: string): void =>
  assert.ok(Math.abs(drawn - meant) < NEAR, `${what}: drawn at ${drawn}, means ${meant}`);

/** Marks stand for as many cells as the table hides and are no figures; nothing is cut off or lies over something else. */
function isClear(plot: Drawn, hidden: number): void {
  const marked = plot.hidden.map((mark) => Number(/^(?:(\d+) × )?<11: hidden, not zero$/.exec(mark.title)![1] ?? 1));
  assert.equal(marked.reduce((sum, count) => sum + count, 0), hidden, "marks of what is hidden");
  const figures = [...plot.bars, ...plot.dots, ...plot.estimates.map(({ square }) => square)];
  for (const mark of plot.hidden) {
    assert.equal(mark.text, "<11");
    assert.ok(!figures.some((figure) => overlap(mark, figure)), "a mark of what is hidden lies over a figure");
  }
  for (const { left, right, top, bottom } of plot.all)
    assert.ok(left > -1 && top > -1 && right < plot.width + 1 && bottom < plot.height + 1, "something is cut off");
  const words = [...plot.texts, ...plot.hidden];
  words.forEach((a, i) => {
    const over = words.slice(i + 1).find((b) => overlap(a, b));
    assert.equal(over, undefined, `“${a.text}” and “${over?.text}” lie over each other`);
  });
}

/** An estimate stands at its ratio in the row of its label, its interval ends at its limits, and its figures say the same. */
function forestMeans(plot: Drawn, rows: Row[]): void {
  const at = axis(plot.ticks, "across", "log");
  const shown = rows.filter((row) => row.ratio !== null);
  assert.equal(plot.estimates.length, shown.length);
  plot.estimates.forEach(({ square, interval, whole }, i) => {
    const { year, ratio, lower, upper } = shown[i]!;
    near(middle(square).x, at(ratio!), `ratio of ${year}`);
    near(interval.left, at(lower!), `lower limit of ${year}`);
    near(interval.right, at(upper!), `upper limit of ${year}`);
    assert.ok(whole, `the interval of ${year} is a line from end to end`);
    near(middle(interval).y, middle(square).y, `height of ${year}`);
    const [two, from, to] = [ratio!, lower!, upper!].map((value) => value.toFixed(2));
    for (const text of [String(year), `${two} (${from} – ${to})`]) {
      const words = plot.texts.find((of) => of.text === text);
      // On a phone the figures stand right below.
      assert.ok(words && Math.abs(middle(words).y - middle(square).y) < 20, `${text} stands beside its estimate`);
    }
  });
}

/** A dot stands at its year and value; lines join neighbours with values, and nothing across what is hidden. */
function lineMeans(plot: Drawn, rows: Row[], figure: Figure): void {
  const [across, up] = [axis(plot.ticks, "across"), axis(plot.ticks, "up")];
  const shown = rows.filter((row) => row[figure] !== null);
  assert.equal(plot.dots.length, shown.length);
  plot.dots.forEach((dot, i) => {
    near(middle(dot).x, across(shown[i]!.year), `year ${shown[i]!.year}`);
    near(middle(dot).y, up(shown[i]![figure]!), `${figure} of ${shown[i]!.year}`);
  });
  for (const row of rows) {
    const at = across(row.year);
    const over = plot.hidden.filter((mark) => mark.left < at && at < mark.right);
    assert.equal(over.length, row[figure] === null ? 1 : 0, `marks at ${row.year}`);
  }
  const joined = rows
    .map((row) => (row[figure] === null ? " " : "."))
    .join("")
    .split(/ +/)
    .filter((run) => run !== "");
  assert.deepEqual(
    plot.lines.map((line) => line.length),
    joined.map((run) => run.length),
    "lines end where something is hidden",
  );
  plot.lines.flat().forEach((corner, i) => {
    near(corner.x, middle(plot.dots[i]!).x, `corner ${i} across`);
    near(corner.y, middle(plot.dots[i]!).y, `corner ${i} up`);
  });
}

/** A bar is as long as its value, from zero. */
function barsMean(plot: Drawn, rows: Row[]): void {
  const at = axis(plot.ticks, "across");
  const shown = rows.filter((row) => row.n !== null);
  assert.equal(plot.bars.length, shown.length);
  plot.bars.forEach((bar, i) => {
    near(bar.left, at(0), `zero of ${shown[i]!.year}`);
    near(bar.right, at(shown[i]!.n!), `n of ${shown[i]!.year}`);
  });
}

/** A bin is as wide as its years, less what parts it from the next, and as high as its value. */
function binsMean(plot: Drawn, rows: Row[]): void {
  const [across, up] = [axis(plot.ticks, "across"), axis(plot.ticks, "up")];
  const shown = rows.filter((row) => row.n !== null);
  assert.equal(plot.bars.length, shown.length);
  plot.bars.forEach((bin, i) => {
    const { year, n } = shown[i]!;
    near(bin.left - 0.5, across(year), `first year of ${year}`);
    near(bin.right + 0.5, across(year + YEARS), `last year of ${year}`);
    near(bin.top, up(n!), `n of ${year}`);
    near(bin.bottom, up(0), `zero of ${year}`);
  });
}

const MEANS: [PlotKind, Figure, (plot: Drawn, rows: Row[]) => void][] = [
  ["forest", "ratio", forestMeans],
  ["line", "ratio", (plot, rows) => lineMeans(plot, rows, "ratio")],
  ["line", "n", (plot, rows) => lineMeans(plot, rows, "n")],
  ["bars", "n", barsMean],
  ["histogram", "n", binsMean],
];

test("forest, line, bars and histogram mean what the table says, and mark what it hides", { skip }, async () => {
  const page = await steps.enter(browser, nodes.bases.hospital_A, nodes.analyst);
  await page.getByRole("link", { name: "Jobs", exact: true }).click();
  await page.getByRole("row").nth(1).getByRole("link").click();
  const svg = page.locator(".plot svg");
  await svg.waitFor();
  const kind = page.getByLabel("Kind of plot");
  assert.equal(await kind.inputValue(), "forest", "an estimate stands between limits");
  const rows = rowsOf(await text(page, "CSV"));
  assert.equal(rows.length, BANDS);
  const hidden = (figure: Figure) => rows.filter((row) => row[figure] === null).length;
  assert.ok(hidden("n") > 0 && hidden("ratio") > hidden("n") && hidden("ratio") < BANDS, "some are hidden of both");
  await tableHas(page, rows);
  for (const [width, height] of steps.SCREENS) {
    await page.setViewportSize({ width, height });
    for (const [name, figure, means] of MEANS) {
      await kind.selectOption(name);
      await page.getByRole("combobox", { name: /^Value/ }).selectOption(figure);
      await steps.settled(page);
      const plot = await drawn(svg);
      const summary = `^${name} of ${figure} by year, ${BANDS} values, ${hidden(figure)} hidden`;
      assert.match(plot.summary, new RegExp(summary, "i"));
      isClear(plot, hidden(figure));
      means(plot, rows);
      await steps.picture(page, `plots-${name}-${figure}-${width}`);
    }
  }
  await page.context().close();
});

test("nothing failed in the pages, and their policy blocked nothing", { skip }, () => {
  assert.deepEqual(faults, []);
});
