// A walk through the console as its users take it, in a headless Chromium, against the mock's three hospitals.

import assert from "node:assert/strict";
import { once } from "node:events";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { SITES } from "../../mock/network";
import { serve, tell } from "../../mock/server";
import { makeWorld } from "../../mock/world";
import * as steps from "./steps";
import { approve, ask, decide, faults, submit, text } from "./steps";

const QUESTION =
  "SELECT condition_concept_id, COUNT(*) AS n, COUNT(DISTINCT person_id) AS patients\nFROM condition_occurrence\nGROUP BY condition_concept_id";

const skip = steps.skipWithout();

let browser: Browser;
const servers: Server[] = [];
const bases: Record<string, string> = {};

before(async () => {
  if (skip) return;
  const made = makeWorld(tell);
  for (const site of SITES) {
    const server = serve(site, made, "dist").listen(0, "127.0.0.1");
    await once(server, "listening");
    servers.push(server);
    bases[site] = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  }
  browser = await steps.launch();
});

after(async () => {
  await browser?.close();
  servers.forEach((server) => (server.closeAllConnections(), server.close()));
});

const enter = (site: string, token: string): Promise<Page> => steps.enter(browser, bases[site]!, token);
const picture = (page: Page, name: string): Promise<void> => steps.picture(page, `walk-${name}`);

test("a wrong token is refused in words and nothing opens", { skip }, async () => {
  const page = await (await browser.newContext()).newPage();
  await page.goto(bases["hospital_A"]!);
  await page.getByLabel("Token").fill("steward-B");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByText("This token is not of this site").waitFor();
  assert.equal(await page.getByRole("navigation").count(), 0);
});

test("a misspelled column is marked at its place with what was probably meant", { skip }, async () => {
  const page = await enter("hospital_A", "analyst-A");
  await ask(page, QUESTION.replace("SELECT condition_concept_id", "SELECT condition_conept_id"));
  await page.getByText("did you mean 'condition_concept_id'?").waitFor();
  assert.equal(await page.locator(".cm-lintRange-error").innerText(), "condition_conept_id");
  assert.ok(await page.getByRole("button", { name: "Submit…" }).isDisabled());
  await page.context().close();
});

test("submit, approve twice, reject, ask again, approve, watch, plot, download", { skip }, async () => {
  const analyst = await enter("hospital_A", "analyst-A");
  await ask(analyst, QUESTION);
  await analyst.getByRole("img", { name: /hospital_A learns .* lin learns/ }).waitFor();
  await analyst.getByText("the number of patients for each value of condition_concept_id").waitFor();
  await picture(analyst, "ask");
  await submit(analyst);
  await analyst.locator(".sites").getByText("waits for approval").nth(2).waitFor();
  await picture(analyst, "waiting");

  const [a, b, c] = await Promise.all([
    enter("hospital_A", "steward-A"),
    enter("hospital_B", "steward-B"),
    enter("hospital_C", "steward-C"),
  ]);
  for (const steward of [a, b]) {
    await decide(steward, approve);
    await steward.getByText("Approved: the plan may run until").waitFor();
  }
  await decide(c, (page) => steps.reject(page, "ask by year"));
  // The analyst sees it without loading the page again.
  await analyst.getByText("hospital_C: rejected: ask by year").waitFor();
  await picture(analyst, "rejected");

  await steps.withdraw(c, "ask by year");
  await analyst.getByRole("button", { name: "Ask it again" }).click();
  await submit(analyst);
  await analyst.locator(".sites li").filter({ hasText: "hospital_C" }).getByText("waits for approval").waitFor();

  await decide(c, approve);
  await analyst.locator(".sites").getByRole("progressbar").first().waitFor();
  await picture(analyst, "running");

  const plot = analyst.locator(".plot svg");
  await plot.waitFor();
  assert.equal(await plot.locator(".hidden-mark").count(), 1, "the small figure is marked");
  assert.equal(await plot.locator("rect[fill='var(--plot)']").count(), 5, "and is no bar");
  await picture(analyst, "plot");
  const csv = await text(analyst, "CSV");
  assert.ok(csv.startsWith("condition_concept_id,n,patients\r\n") && csv.includes(",<11,<11\r\n"), csv);
  assert.equal(JSON.parse(await text(analyst, "JSON")).suppressed.length, 2);
  const svg = await text(analyst, "SVG");
  assert.ok(svg.includes("&lt;11") && !svg.includes("var("), "the picture stands alone");
  const plan = await text(analyst, "Plan file (reproduces the run)");
  await analyst.getByRole("link", { name: "Ask", exact: true }).click();
  await analyst
    .locator("input[type=file]")
    .setInputFiles({ name: "run.plan.json", mimeType: "application/json", buffer: Buffer.from(plan) });
  await analyst.getByText("The plan is the one of the file.").waitFor();
  for (const page of [analyst, a, b, c]) await page.context().close();
});

test("noise is chosen, said before it is spent, in the plan file, and in the steward's gauges", { skip }, async () => {
  const page = await enter("hospital_A", "analyst-A");
  await ask(page, "SELECT COUNT(*) AS n FROM person");
  await page.getByLabel("Noise on every figure").selectOption("gaussian");
  await page.getByLabel("ε of the question").fill("0.25");
  await page.getByLabel(/^δ: 10 to the minus/).fill("7");
  await page.getByText("Noise spends ε at every site").waitFor();
  await picture(page, "noise");
  await page.getByRole("button", { name: "Submit…" }).click();
  await page.getByRole("dialog").getByText("spends ε 0.25 at every site for good").waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Submit" }).click();
  const plan = JSON.parse(await text(page, "Plan file (reproduces the run)"));
  assert.deepEqual(plan.noise, { epsilon: "0.25", mechanism: "gaussian", delta_digits: 7 });
  // What was asked for comes back with the question.
  await page.getByRole("button", { name: "Ask it again" }).click();
  assert.equal(await page.getByLabel("ε of the question").inputValue(), "0.25");
  await page.context().close();

  const steward = await enter("hospital_A", "steward-A");
  await steward.getByRole("link", { name: "Releases" }).click();
  await steward.getByRole("meter", { name: "δ of “bleeding”" }).waitFor();
  await steward.locator(".gauge").filter({ hasText: "δ of “bleeding”" }).getByText("2·10^-6 of 10^-5 spent").last().waitFor();
  await steward.getByText("35 patients with 412 rows are left out of everything. 2 entries of the list").waitFor();
  await steward.context().close();
});

test("where stewards have keys of their own the page says the command and approves nothing", { skip }, async () => {
  const page = await enter("hospital_A", "steward-A");
  await page.route(/api\/inbox\/\w+$/, async (route) => {
    const reply = await route.fetch();
    await route.fulfill({
      response: reply,
      json: { ...(await reply.json()), own_keys: true, needs: 2, consents: ["bea"] },
    });
  });
  await page.locator(".cards a").first().click();
  await page.getByText("approved by bea; one more steward is needed").waitFor();
  await page.getByText(/consilium approve .* --steward-key/).waitFor();
  assert.equal(await page.getByRole("button", { name: "Approve" }).count(), 0);
  await page.context().close();
});

test("without events the page asks by itself, and an ended session leads to the login page", { skip }, async () => {
  const page = await enter("hospital_A", "analyst-A");
  await page.route("**/api/events", (route) => route.abort());
  await page.reload();
  await ask(page, "SELECT COUNT(*) AS n FROM drug_exposure");
  await submit(page);
  await page
    .locator(".sites li")
    .filter({ hasText: "hospital_B" })
    .getByText("waits for approval")
    .waitFor({ timeout: 20_000 });
  await page.context().clearCookies();
  await page.getByLabel("Token").waitFor();
  await page.context().close();
});

test("the log is verified with a visible result, and what was sent is told by step", { skip }, async () => {
  const page = await enter("hospital_A", "steward-A");
  await page.getByRole("link", { name: "Log", exact: true }).click();
  await page.getByRole("button", { name: "Verify the log" }).click();
  await page.getByText("The log stands as it was written.").waitFor();
  await page.getByRole("link", { name: "Releases" }).click();
  await page.getByRole("row").nth(1).getByRole("link").click();
  await page.getByText("random numbers, which hold no data").first().waitFor();
  await page.context().close();
});

test("every page speaks the chosen language, and remembers it", { skip }, async () => {
  const page = await enter("hospital_A", "both-A");
  await page.getByRole("button", { name: "中文" }).click();
  const links = page.getByRole("navigation").getByRole("link");
  await page.getByRole("link", { name: "提问" }).waitFor();
  for (let i = 0; i < (await links.count()); i++) {
    await links.nth(i).click();
    await page.waitForFunction(
      (n) => document.querySelectorAll("nav a")[n]?.getAttribute("aria-current") === "page",
      i,
    );
    assert.match(await page.locator("h1").innerText(), /[\u4e00-\u9fff]/u);
  }
  assert.equal(await page.locator("html").getAttribute("lang"), "zh-Hans");
  await page.reload();
  await page.getByRole("link", { name: "提问" }).waitFor();
  await page.context().close();
});

test(
  "the keyboard reaches everything: skip link, pages, a dialog that keeps the focus and gives it back",
  { skip },
  async () => {
    const page = await enter("hospital_A", "steward-A");
    await page.reload();
    await page.locator(".cards a").waitFor();
    const focused = (text: string) =>
      page.waitForFunction((wanted) => document.activeElement?.textContent === wanted, text);
    await page.keyboard.press("Tab");
    await focused("Skip to the content");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.activeElement?.id === "main");
    await page.keyboard.press("Alt+Shift+Digit3");
    // The new page's heading takes the focus a moment after it is drawn: whoever is quicker would lose it again.
    await focused("Policy of this site");
    await page.getByRole("button", { name: "Keyboard" }).focus();
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").waitFor();
    for (let i = 0; i < 5; i++) {
      await page.keyboard.press("Tab");
      // The browser's own controls come last; nothing behind the dialog does.
      assert.ok(
        await page.evaluate(
          () => document.activeElement === document.body || document.activeElement?.closest("dialog") !== null,
        ),
      );
    }
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await focused("Keyboard");
    await page.context().close();
  },
);

test("no page is wider than a phone", { skip }, async () => {
  const page = await enter("hospital_A", "both-A");
  await page.setViewportSize({ width: 390, height: 844 });
  for (const name of ["inbox", "releases", "policy", "network", "log", "ask", "catalog", "jobs"]) {
    await page.goto(`${bases["hospital_A"]}#/${name}`);
    await page.locator("h1").waitFor();
    await steps.settled(page);
    assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 390, name);
  }
  await page.context().close();
});

test("on all of the walk nothing failed in the pages, and their policy blocked nothing", { skip }, () => {
  assert.deepEqual(faults, []);
});
