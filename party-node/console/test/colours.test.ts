import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { PAPER } from "../src/files/paper";

const css = readFileSync("src/style/colours.css", "utf8");
const [light, dark] = css.split("@media (prefers-color-scheme: dark)").map(colours) as [Colours, Colours];

type Colours = Record<string, string>;

function colours(text: string): Colours {
  return Object.fromEntries([...text.matchAll(/(--[a-z-]+): (#[0-9a-f]{6});/g)].map((m) => [m[1]!, m[2]!]));
}

/** The ratio that WCAG defines. */
function contrast(a: string, b: string): number {
  const part = (hex: string, at: number) => {
    const c = parseInt(hex.slice(at, at + 2), 16) / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  };
  const light = (hex: string) => 0.2126 * part(hex, 1) + 0.7152 * part(hex, 3) + 0.0722 * part(hex, 5);
  const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
  return (x! + 0.05) / (y! + 0.05);
}

const TEXT = [
  ["ink", "paper"],
  ["ink", "soft"],
  ["quiet", "paper"],
  ["quiet", "soft"],
  ["accent", "paper"],
  ["accent", "soft"],
  ["on-accent", "accent"],
  ["good", "good-soft"],
  ["bad", "bad-soft"],
  ["busy", "busy-soft"],
  ["ink", "good-soft"],
  ["ink", "bad-soft"],
  ["ink", "busy-soft"],
  ["quiet", "bad-soft"],
  ["quiet", "good-soft"],
  ["ink", "chosen"],
  ["bad", "paper"],
  ["good", "paper"],
  ["busy", "paper"],
  ["bad", "soft"],
];
const SHAPES = [
  ["edge", "paper"],
  ["edge", "soft"],
  ["plot", "paper"],
  ["focus", "paper"],
  ["focus", "soft"],
  ["accent", "paper"],
];

for (const [name, scheme] of [
  ["light", light],
  ["dark", { ...light, ...dark }],
] as const) {
  test(`text of the ${name} page has 4.5:1 on its ground, edges and marks 3:1`, () => {
    const ratio = ([a, b]: string[]) => contrast(scheme[`--${a}`]!, scheme[`--${b}`]!);
    for (const pair of TEXT) assert.ok(ratio(pair) >= 4.5, `${pair.join(" on ")}: ${ratio(pair).toFixed(2)}`);
    for (const pair of SHAPES) assert.ok(ratio(pair) >= 3, `${pair.join(" on ")}: ${ratio(pair).toFixed(2)}`);
  });
}

test("paper has the colours of the light page", () => {
  for (const [name, colour] of Object.entries(PAPER)) assert.equal(colour, light[name], name);
});
