// What every walk does in the pages.

import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { chromium } from "playwright-core";
import type { Browser, Page } from "playwright-core";

const CHROMIUM = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
/** Where to leave pictures of the pages; none without it. */
const PICTURES = process.env["WALK_PICTURES"];

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

export async function enter(browser: Browser, base: string, token: string): Promise<Page> {
  const context = await browser.newContext({ locale: "en-GB", acceptDownloads: true });
  const page = await context.newPage();
  page.setDefaultTimeout(Number(process.env["WALK_PATIENCE_MS"] ?? 10_000));
  // What the page's own policy blocks shows on the console of the browser.
  const fault = (text: string) => faults.push(`${page.url()}: ${text}`);
  page.on("console", (message) => /Content Security Policy|Error:/.test(message.text()) && fault(message.text()));
  page.on("pageerror", (error) => fault(error.message));
  await page.goto(base);
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("navigation").waitFor();
  return page;
}

export async function picture(page: Page, name: string): Promise<void> {
  if (PICTURES) await page.screenshot({ path: `${PICTURES}/${name}.png`, fullPage: true });
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
