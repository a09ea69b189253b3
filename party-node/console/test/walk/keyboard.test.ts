// A question from its submission to its answer, at three nodes, by somebody without a mouse: Tab, Enter, arrows, and what is typed.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { press, tabTo } from "./focus";
import { CONSILIUM, SITES, start } from "./nodes";
import type { Nodes, Site } from "./nodes";
import * as steps from "./steps";
import { faults } from "./steps";

const skip = steps.skipWithout(CONSILIUM);

const QUESTION = "SELECT gender_concept_id, COUNT(*) AS n FROM person GROUP BY gender_concept_id";
/** The groups that the network declares, and that of those who have none. */
const GENDERS = ["8507", "8532", ""];

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

/** Logs in; the page that opens has the focus at its heading. */
async function enter(site: Site, token: string): Promise<Page> {
  const page = await steps.open(browser, nodes.bases[site]);
  // Nobody points at anything.
  await page.addInitScript(() => addEventListener("pointerdown", () => console.log("Error: a pointer was used"), true));
  await page.reload();
  await page.getByLabel("Token").waitFor();
  await tabTo(page, /^Token/);
  await page.keyboard.type(token);
  await page.keyboard.press("Enter");
  await page.getByRole("navigation").waitFor();
  return page;
}

async function submit(page: Page): Promise<void> {
  await tabTo(page, /^Who receives the answer/);
  await page.keyboard.press("ArrowDown");
  await tabTo(page, /^Question in SQL/);
  await page.keyboard.type(QUESTION);
  // A list of what would fit may be open.
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Submit…", disabled: false }).waitFor();
  await press(page, /^Submit…/);
  await page.getByRole("dialog").waitFor();
  await press(page, /^Submit$/);
  await page.getByRole("heading", { name: /^Job/ }).waitFor();
}

async function approve(page: Page): Promise<void> {
  await page.locator(".cards a").waitFor();
  await press(page, /^Look at it and decide/);
  await page.getByText("No row and no identifier leaves").waitFor();
  await tabTo(page, /^Approve for how many days/);
  for (let i = 0; i < 3; i++) await page.keyboard.press("ArrowUp");
  await press(page, /^Approve$/);
  await page.getByRole("dialog").getByText("for 33 days").waitFor();
  await press(page, /^Approve$/);
  await page.getByText("Approved: the plan may run until").waitFor();
  // The focus is not lost with the form that had it.
  await press(page, /^To the inbox$/);
  await page.getByText("No plan waits.").waitFor();
}

test("submit, approve at three consoles, look at plot and table, download: all with the keyboard", { skip }, async () => {
  const analyst = await enter("hospital_A", nodes.analyst);
  await submit(analyst);
  await analyst.locator(".sites").getByText("waits for approval").nth(2).waitFor();
  for (const site of SITES) {
    const steward = await enter(site, nodes.stewards[site]);
    await approve(steward);
    await steward.context().close();
  }

  await analyst.locator(".plot svg").waitFor({ timeout: 120_000 });
  await tabTo(analyst, /^Kind of plot/);
  const kind = analyst.getByLabel("Kind of plot");
  assert.equal(await kind.inputValue(), "bars");
  await analyst.keyboard.press("ArrowDown");
  assert.equal(await kind.inputValue(), "histogram");
  await analyst.getByText("1 row without a place on the axis is not drawn.").waitFor();
  await tabTo(analyst, /^CSV$/);
  const [download] = await Promise.all([analyst.waitForEvent("download"), analyst.keyboard.press("Enter")]);
  const lines = (await readFile(await download.path(), "utf8")).trimEnd().split("\r\n");
  assert.deepEqual(lines.map((line) => line.split(",")[0]), ["gender_concept_id", ...GENDERS]);
  await press(analyst, /^Table$/);
  await analyst.getByRole("cell", { name: "8507", exact: true }).waitFor();
  await analyst.context().close();
});

test("nothing failed in the pages, and their policy blocked nothing", { skip }, () => {
  assert.deepEqual(faults, []);
});
