// What every walk does in the pages.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { chromium } from "playwright-core";
import type { Browser, Page } from "playwright-core";
import { dictionaries } from "../../src/words";

const CHROMIUM = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
/** Where to leave pictures of the pages; none without it. */
const PICTURES = process.env["WALK_PICTURES"];

/** A folder whose pages are shown in the place of those that the nodes have: a page is changed without building a node. */
const PAGES = process.env["WALK_PAGES"];

/** Why a walk is not taken. With CI a missing program is a failure; elsewhere the walk is skipped and says so. */
export function skipWithout(...programs: (string | undefined)[]): string | false {
  const missing = [CHROMIUM, ...programs].filter((program) => program === undefined || !existsSync(program));
  if (missing.length === 0 || process.env["CI"] === "true") return false;
  return `no ${missing[0] ?? "node: CONSILIUM names no program"}`;
}

export function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
}

/** What failed in pages, or was blocked by their policy. */
export const faults: string[] = [];

/** The login page of a console. */
export async function open(browser: Browser, base: string): Promise<Page> {
  const context = await browser.newContext({ locale: "en-GB", acceptDownloads: true });
  const page = await context.newPage();
  page.setDefaultTimeout(Number(process.env["WALK_PATIENCE_MS"] ?? 10_000));
  // What the page's own policy blocks shows on the console of the browser.
  const fault = (text: string) => faults.push(`${page.url()}: ${text}`);
  page.on("console", (message) => /Content Security Policy|Error:/.test(message.text()) && fault(message.text()));
  page.on("pageerror", (error) => fault(error.message));
  if (PAGES !== undefined) await showOther(page, PAGES);
  await page.goto(base);
  return page;
}

export async function enter(browser: Browser, base: string, token: string): Promise<Page> {
  const page = await open(browser, base);
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("navigation").waitFor();
  return page;
}

/** Other pages under the headers, and so the policy, of the node's own. */
async function showOther(page: Page, folder: string): Promise<void> {
  await page.route(/\/(console\.js|style\.css)$/, async (route) => {
    const name = new URL(route.request().url()).pathname;
    await route.fulfill({ response: await route.fetch(), body: await readFile(join(folder, name), "utf8") });
  });
}

export async function picture(page: Page, name: string): Promise<void> {
  if (PICTURES) await page.screenshot({ path: `${PICTURES}/${name}.png`, fullPage: true });
}

/** The page in both languages, on a laptop and on a phone: as wide as the screen and no wider. */
export async function pictures(page: Page, name: string): Promise<void> {
  for (const language of ["zh", "en"] as const) {
    await page.getByRole("button", { name: dictionaries[language].language }).click();
    for (const [width, height] of SCREENS) {
      await page.setViewportSize({ width, height });
      await settled(page);
      assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width, `${name} at ${width}`);
      assert.deepEqual(await cutOff(page), [], `${name} at ${width} in ${language}`);
      await picture(page, `${name}-${language}-${width}`);
    }
  }
}

/** Tables of which a part can be seen by scrolling alone. Only answers may be as wide as they like. */
function cutOff(page: Page): Promise<string[]> {
  return page.locator(".scroll").evaluateAll((boxes) =>
    boxes.filter((box) => box.scrollWidth > box.clientWidth + 1).map((box) => box.getAttribute("aria-label") ?? ""),
  );
}

/** A phone, then a laptop. */
export const SCREENS = [
  [390, 844],
  [1280, 800],
] as const;

/** Waits until the page has what it asked the node for, and has drawn it. */
export async function settled(page: Page): Promise<void> {
  const busy = Object.values(dictionaries).flatMap(({ shell, ask }) => [shell.loading, ask.planning]);
  await page.waitForFunction((busy) => {
    const said = [...document.querySelectorAll("[role=status]")].map((of) => of.textContent?.trim() ?? "");
    return document.querySelector("h1") !== null && !said.some((text) => busy.includes(text));
  }, busy);
  // Pictures are laid out anew in the frame after the one that has their new width.
  await page.evaluate(async () => {
    await document.fonts.ready;
    for (let i = 0; i < 3; i++) await new Promise(requestAnimationFrame);
  });
}

export async function ask(page: Page, sql: string): Promise<void> {
  await page.getByRole("link", { name: "Ask", exact: true }).click();
  await page.locator(".cm-content").click();
  await page.keyboard.press("Control+A");
  await page.keyboard.insertText(sql);
  await page.keyboard.press("Escape");
}

/** Submits what stands in the editor. */
export async function submit(page: Page): Promise<void> {
  await page.getByRole("button", { name: "Submit…" }).click();
  await page.getByRole("dialog").getByText("What is revealed cannot be taken back").waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Submit" }).click();
}

export async function decide(page: Page, work: (page: Page) => Promise<void>): Promise<void> {
  await page.getByRole("link", { name: /^Inbox/ }).click();
  await page.locator(".cards li").filter({ hasText: "lin asks" }).getByRole("link").click();
  await page.getByText("No row and no identifier leaves").waitFor();
  await work(page);
}

export async function approve(page: Page): Promise<void> {
  await page.getByRole("button", { name: "Approve" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Approve" }).click();
}

export async function reject(page: Page, reason: string): Promise<void> {
  await page.getByLabel("Reason").fill(reason);
  await page.getByRole("button", { name: "Reject" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Reject" }).click();
  await page.getByText("Rejected. The analyst is told the reason.").waitFor();
}

export async function withdraw(page: Page, reason: string): Promise<void> {
  await page.getByRole("link", { name: /^Inbox/ }).click();
  await page
    .getByRole("row")
    .filter({ hasText: `rejected: ${reason}` })
    .getByRole("button")
    .click();
  await page.getByRole("dialog").getByRole("button", { name: "Withdraw" }).click();
  await page.getByText("Withdrawn.", { exact: true }).waitFor();
}

/** The text of a download. */
export async function text(page: Page, button: string): Promise<string> {
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: button, exact: button.length < 5 }).click(),
  ]);
  return readFile(await download.path(), "utf8");
}

/** What a card of a site shows. */
interface Shown {
  site: string;
  state: string;
  bar: { label: string; round: number; value: number | null; most: number | null; path: string } | null;
}

/** From now on keeps everything that the page shows of the sites of a job, also what is gone before one looks; gives it out. */
export async function watchSites(page: Page): Promise<() => Promise<Shown[]>> {
  await page.evaluate(() => {
    const seen: Shown[] = [];
    const bar = (of: HTMLProgressElement, card: Element) => {
      const label = of.getAttribute("aria-label") ?? "";
      const [value, most] = of.hasAttribute("value") ? [of.value, of.max] : [null, null];
      const path = card.querySelector("code")?.textContent ?? "";
      return { label, round: Number(/\d+/.exec(label)?.[0]), value, most, path };
    };
    const look = () => {
      for (const card of document.querySelectorAll(".sites li")) {
        const text = (selector: string) => card.querySelector(selector)?.textContent ?? "";
        const progress = card.querySelector("progress");
        const now = { site: text("strong"), state: text(".badge"), bar: progress && bar(progress, card) };
        const before = seen.findLast((one) => one.site === now.site);
        if (JSON.stringify(now) !== JSON.stringify(before)) seen.push(now);
      }
    };
    const everything = { subtree: true, childList: true, attributes: true, characterData: true };
    new MutationObserver(look).observe(document.body, everything);
    Object.assign(window, { seen });
  });
  return () => page.evaluate(() => (window as unknown as { seen: Shown[] }).seen);
}
