// The same walk against three real nodes, over the bundled data: what the pages show comes from the engine.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { CONSILIUM, start } from "./nodes";
import type { Nodes, Site } from "./nodes";
import * as steps from "./steps";
import { approve, ask, decide, faults, submit, text } from "./steps";

const skip = steps.skipWithout(CONSILIUM);

/** Years of birth in parts, of which the last is of few patients. */
const QUESTION = `SELECT CASE WHEN year_of_birth < 1940 THEN '1905 to 1939' WHEN year_of_birth < 1960 THEN '1940 to 1959'
  WHEN year_of_birth < 1985 THEN '1960 to 1984' ELSE 'since 1985' END AS born,
  COUNT(*) AS n
FROM person
GROUP BY born
ORDER BY born`;

let browser: Browser;
let nodes: Nodes;

before(async () => {
  if (skip) return;
  nodes = await start();
  browser = await steps.launch();
});

after(async () => {
  await browser?.close();
  await nodes?.stop();
});

const steward = (site: Site): Promise<Page> => steps.enter(browser, nodes.bases[site], nodes.stewards[site]);
const pictures = (page: Page, name: string): Promise<void> => steps.pictures(page, `nodes-${name}`);

test("a token of another site is refused", { skip }, async () => {
  const page = await (await browser.newContext()).newPage();
  await page.goto(nodes.bases.hospital_A);
  await page.getByLabel("Token").fill(nodes.stewards.hospital_B);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByText("This token is not of this site").waitFor();
  await page.context().close();
});

test("a misspelled table is marked at its place with what was probably meant", { skip }, async () => {
  const page = await steps.enter(browser, nodes.bases.hospital_A, nodes.analyst);
  await ask(page, QUESTION.replace("FROM person", "FROM persn"));
  await page.getByText("did you mean 'person'?").waitFor();
  assert.equal(await page.locator(".cm-lintRange-error").innerText(), "persn");
  await page.context().close();
});

test("submit, approve twice, reject, ask again, approve, watch, plot, download, verify", { skip }, async () => {
  const analyst = await steps.enter(browser, nodes.bases.hospital_A, nodes.analyst);
  await ask(analyst, QUESTION);
  // A node that asks for its analyst sees the answer: other sites hide small cells for every site or refuse.
  await analyst.getByLabel("Who receives the answer").selectOption("everyone");
  await analyst.getByRole("img", { name: /hospital_A learns .* lin learns/ }).waitFor();
  await pictures(analyst, "ask");
  await submit(analyst);
  await analyst.locator(".sites").getByText("waits for approval").nth(2).waitFor();
  await pictures(analyst, "waiting");

  const [a, b, c] = [await steward("hospital_A"), await steward("hospital_B"), await steward("hospital_C")];
  await a.getByRole("link", { name: /^Inbox/ }).click();
  await a.locator(".cards li").getByRole("link").waitFor();
  await pictures(a, "inbox");
  await decide(a, async (page) => {
    await pictures(page, "review");
    await approve(page);
    await page.getByText("Approved: the plan may run until").waitFor();
  });
  await decide(b, approve);
  await b.getByText("Approved: the plan may run until").waitFor();
  await decide(c, (page) => steps.reject(page, "ask by year"));
  // The analyst sees it without loading the page again.
  await analyst.getByText(/hospital_C.*ask by year/).first().waitFor();
  await pictures(analyst, "rejected");

  await steps.withdraw(c, "ask by year");
  await analyst.getByRole("button", { name: "Ask it again" }).click();
  await submit(analyst);
  await analyst.locator(".sites li").filter({ hasText: "hospital_C" }).getByText("waits for approval").waitFor();
  await decide(c, approve);

  const plot = analyst.locator(".plot svg");
  await plot.waitFor({ timeout: 120_000 });
  assert.equal(await plot.locator(".hidden-mark").count(), 1, "the small figure is marked");
  await pictures(analyst, "answer");
  const csv = await text(analyst, "CSV");
  assert.match(csv, /^born,n\r\n/);
  assert.ok(csv.includes("<11"), csv);
  const json = JSON.parse(await text(analyst, "JSON"));
  assert.ok(json.suppressed.length > 0 && json.disclosures.length > 0, JSON.stringify(json));
  const svg = await text(analyst, "SVG");
  assert.ok(svg.includes("&lt;11") && !svg.includes("var("), "the picture stands alone");
  const plan = await text(analyst, "Plan file (reproduces the run)");
  await analyst.getByRole("link", { name: "Ask", exact: true }).click();
  await analyst
    .locator("input[type=file]")
    .setInputFiles({ name: "run.plan.json", mimeType: "application/json", buffer: Buffer.from(plan) });
  await analyst.getByText("The plan is the one of the file.").waitFor();
  for (const page of ["Catalogue", "Jobs"]) {
    await analyst.getByRole("link", { name: page, exact: true }).click();
    await pictures(analyst, page.toLowerCase());
  }

  await a.getByRole("link", { name: "Releases" }).click();
  await a.getByRole("row").nth(1).getByRole("link").waitFor();
  await pictures(a, "releases");
  await a.getByRole("row").nth(1).getByRole("link").click();
  await a.getByText("what left the site").first().waitFor();
  await pictures(a, "trail");
  for (const page of ["Policy", "Network"]) {
    await a.getByRole("link", { name: page, exact: true }).click();
    await a.getByRole("table").first().waitFor();
    await pictures(a, page.toLowerCase());
  }
  await a.getByRole("link", { name: "Log", exact: true }).click();
  await a.getByRole("button", { name: "Verify the log" }).click();
  await a.getByText("The log stands as it was written.").waitFor();
  await pictures(a, "log");
  const [download] = await Promise.all([a.waitForEvent("download"), a.locator("a[download]").click()]);
  const lines = (await readFile(await download.path(), "utf8")).trimEnd().split("\n");
  assert.ok(lines.length > 5 && lines.at(-1)!.startsWith(`{"head":`), lines.at(-1));
  for (const page of [analyst, a, b, c]) await page.context().close();
});

test("nothing failed in the pages, and their policy blocked nothing", { skip }, () => {
  assert.deepEqual(faults, []);
});
