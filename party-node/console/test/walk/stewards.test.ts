// A site whose policy asks for two stewards, each with a key of their own: what its stewards see, and what the analyst does.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { BY_RULE, CONSILIUM, POLICY, run, start } from "./nodes";
import type { Nodes } from "./nodes";
import * as steps from "./steps";
import { approve, ask, decide, faults, submit } from "./steps";

const skip = steps.skipWithout(CONSILIUM);

const QUESTION = "SELECT gender_concept_id, COUNT(*) AS n FROM person GROUP BY gender_concept_id";
const TWO = ["bea", "bo"] as const;
type Two = (typeof TWO)[number];

let browser: Browser;
let nodes: Nodes;
let keys: string;

before(async () => {
  if (skip) return;
  keys = await mkdtemp(join(tmpdir(), "consilium-keys-"));
  const pins = TWO.map((name) => `${name} = "${run("steward-key", "--out", key(name)).trim().split("\n").at(-1)}"`);
  const two = `two_persons = true\nstewards = { ${pins.join(", ")} }\n${POLICY}`;
  nodes = await start({ policies: { hospital_B: two, hospital_C: BY_RULE } });
  browser = await steps.launch();
});

after(async () => {
  await browser?.close();
  await nodes?.stop();
  if (keys) await rm(keys, { recursive: true, force: true });
});

const key = (name: Two): string => join(keys, `${name}.key`);
const pictures = (page: Page, name: string): Promise<void> => steps.pictures(page, `stewards-${name}`);

/** The command as the page says it, with the names of files that only its reader knows. */
async function command(page: Page, name: Two): Promise<string[]> {
  const said = await page.locator("pre").filter({ hasText: "--steward-key" }).innerText();
  const named = said.replace("SITE.toml", nodes.configs.hospital_B).replace("YOUR.key", key(name));
  const [program, ...words] = named.trim().split(/\s+/);
  assert.equal(program, "consilium");
  return words;
}

/** What the page of a plan offers where stewards have keys of their own. */
async function asksForKey(page: Page): Promise<void> {
  await page.getByText("This site's policy asks for two stewards.").waitFor();
  assert.equal(await page.getByRole("button", { name: "Approve" }).count(), 0, "a page has no key");
}

test("two stewards approve one after the other, by keys that no page has, and all see for whom it waits", { skip }, async () => {
  const analyst = await steps.enter(browser, nodes.bases.hospital_A, nodes.analyst);
  await ask(analyst, QUESTION);
  await analyst.getByLabel("Who receives the answer").selectOption("everyone");
  await submit(analyst);
  const card = (site: string) => analyst.locator(".sites li").filter({ hasText: site });
  // One site waits for a steward, one for two, and one has consented by rule.
  await card("hospital_A").getByText(/^a steward there decides about plan \w+$/).waitFor();
  await card("hospital_B").getByText(/decides about plan \w+; it takes two of them/).waitFor();
  await card("hospital_C").getByText("approved", { exact: true }).waitFor();
  await analyst.getByRole("status").getByText("hospital_A, hospital_B", { exact: true }).waitFor();
  await pictures(analyst, "waiting");
  const [named] = /\b[0-9a-f]{12,}\b/.exec(await card("hospital_B").innerText())!;

  const [bea, bo] = await Promise.all(
    TWO.map((name) => steps.enter(browser, nodes.bases.hospital_B, nodes.token("hospital_B", name))),
  ) as [Page, Page];
  const plan = await bea.locator(".cards .hash").first().innerText();
  assert.ok(named.startsWith(plan), `${named} is what its stewards call ${plan}`);
  for (const steward of [bea, bo]) await decide(steward, asksForKey);
  assert.equal(await bo.getByText("one more steward is needed").count(), 0);

  assert.match(run(...(await command(bea, "bea"))), /bea approves plan .* second steward/);
  // Both pages hear of it, and so does the analyst; nothing runs.
  for (const steward of [bea, bo]) await steward.getByText("approved by bea; one more steward is needed").waitFor();
  await pictures(bo, "one");
  await bea.getByRole("link", { name: /^Inbox/ }).click();
  await bea.locator(".cards li").getByText("approved by bea; one more steward is needed").waitFor();
  // A site holds its reply for half a minute while nothing is decided.
  await card("hospital_B").getByText("bea said yes").waitFor({ timeout: 90_000 });
  const ada = await steps.enter(browser, nodes.bases.hospital_A, nodes.stewards.hospital_A);
  await decide(ada, approve);
  await card("hospital_A").getByText("approved", { exact: true }).waitFor({ timeout: 90_000 });
  await card("hospital_B").getByText("waits for approval").waitFor();

  // The same steward once more is not a second one.
  assert.match(run(...(await command(bo, "bea"))), /second steward/);
  assert.match(run(...(await command(bo, "bo"))), /may run until/);
  await bo.getByText("This plan no longer waits: somebody has decided.").waitFor();
  await bea.getByText("No plan waits.").waitFor();
  await bea.getByRole("row").filter({ hasText: "bea and bo" }).getByText("approved until").waitFor();
  await analyst.locator(".plot svg").waitFor({ timeout: 120_000 });
  for (const page of [analyst, ada, bea, bo]) await page.context().close();
});

test("one of two stewards rejects at the page, which then does not ask for what no longer waits", { skip }, async () => {
  const analyst = await steps.enter(browser, nodes.bases.hospital_A, nodes.analyst);
  await ask(analyst, "SELECT COUNT(*) AS n FROM condition_occurrence");
  await analyst.getByLabel("Who receives the answer").selectOption("everyone");
  await submit(analyst);
  const bo = await steps.enter(browser, nodes.bases.hospital_B, nodes.token("hospital_B", "bo"));
  await decide(bo, async (page) => {
    const looks: string[] = [];
    page.on("request", (request) => /\/api\/inbox\/\w+$/.test(request.url()) && looks.push(request.url()));
    await steps.reject(page, "ask by year");
    await page.getByRole("link", { name: "Inbox", exact: true }).waitFor();
    await steps.settled(page);
    assert.deepEqual(looks, []);
    assert.equal(await page.getByRole("alert").count(), 0);
  });
  await analyst.getByText(/hospital_B.*ask by year/).first().waitFor({ timeout: 90_000 });
  for (const page of [analyst, bo]) await page.context().close();
});

test("nothing failed in the pages, and their policy blocked nothing", { skip }, () => {
  assert.deepEqual(faults, []);
});
