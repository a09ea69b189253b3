// Walking with the keyboard alone: Tab, Enter and the arrows, and somebody who has to see where they are.

import assert from "node:assert/strict";
import type { Page } from "playwright-core";

/** More controls than any page has. */
const MOST = 150;
/** Half a second of an idle browser, more of a busy one. */
const FRAMES = 30;

interface Focus {
  name: string;
  /** Why nobody sees that it has the focus; nothing where it is seen. */
  unseen: string;
}

/** Presses Tab until something of this name has the focus. Everything on the way is seen to have it. */
export async function tabTo(page: Page, name: RegExp): Promise<void> {
  const passed: string[] = [];
  for (let i = 0; i < MOST; i++) {
    await page.keyboard.press("Tab");
    let at = await focus(page);
    // The editor draws its frame a moment later.
    for (let frame = 0; at && at.unseen !== "" && frame < FRAMES; frame++) {
      await page.evaluate(() => new Promise(requestAnimationFrame));
      at = await focus(page);
    }
    // The browser's own controls have their turn after the page's last one.
    if (at === null) continue;
    assert.equal(at.unseen, "", `${at.name} has the focus and nobody sees it`);
    if (name.test(at.name)) return;
    passed.push(at.name);
  }
  assert.fail(`no Tab leads to ${name}, only to ${passed.join(" | ")}`);
}

export async function press(page: Page, name: RegExp): Promise<void> {
  await tabTo(page, name);
  await page.keyboard.press("Enter");
}

/** What has the focus; null where it is none of the page's controls. */
async function focus(page: Page): Promise<Focus | null> {
  return page.evaluate(() => {
    let at = document.activeElement;
    while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
    if (!at || at === document.body) return null;
    const words = (of: Element) =>
      [...of.childNodes].map((node) => (node.nodeName === "SELECT" ? "" : (node.textContent ?? ""))).join(" ");
    const label = (at as HTMLInputElement).labels?.[0];
    const name = at.getAttribute("aria-label") ?? words(label ?? at);
    // The editor draws its own frame, around the part that has the focus.
    const framed = [at, at.closest(".cm-editor")].some((of) => {
      const { outlineStyle, outlineWidth } = of ? getComputedStyle(of) : { outlineStyle: "none", outlineWidth: "0" };
      return outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
    });
    const { left, right, top, bottom } = at.getBoundingClientRect();
    // The middle of what is in sight of it.
    const x = (Math.max(left, 0) + Math.min(right, innerWidth)) / 2;
    const y = (Math.max(top, 0) + Math.min(bottom, innerHeight)) / 2;
    const there = (at.getRootNode() as Document | ShadowRoot).elementFromPoint(x, y);
    const open = there !== null && (at.contains(there) || there.contains(at));
    const unseen = [framed ? "" : "it has no outline", open ? "" : "it lies out of sight"].filter(Boolean).join(", ");
    return { name: name.replace(/\s+/g, " ").trim(), unseen };
  });
}
