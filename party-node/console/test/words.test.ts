import assert from "node:assert/strict";
import { test } from "node:test";
import { en } from "../src/words/en";
import { zh } from "../src/words/zh";

type Tree = { [key: string]: unknown };

/** Every text under its path; a function is called with recognisable arguments. */
function texts(tree: object, path = ""): [path: string, text: string][] {
  return Object.entries(tree as Tree).flatMap(([key, value]): [string, string][] => {
    const at = `${path}/${key}`;
    if (typeof value === "string") return [[at, value]];
    if (typeof value === "function") return [[at, String(value(...ARGUMENTS.slice(0, value.length)))]];
    return texts(value as object, at);
  });
}

// Some take numbers, some texts: a number does for both.
const ARGUMENTS = [71, 72, 73, 74, 75];

test("both languages have the same texts, none empty", () => {
  const paths = (tree: object) =>
    texts(tree)
      .map(([path]) => path)
      .sort();
  assert.deepEqual(paths(zh), paths(en));
  for (const [path, text] of [...texts(en), ...texts(zh)]) assert.notEqual(text.trim(), "", path);
});

test("a text with arguments says all of them in both languages", () => {
  const [english, chinese] = [new Map(texts(en)), new Map(texts(zh))];
  for (const [path, text] of english) {
    const said = ARGUMENTS.filter((argument) => text.includes(String(argument)));
    for (const argument of said)
      assert.ok(chinese.get(path)?.includes(String(argument)), `${path} leaves out ${argument}`);
  }
});

test("Chinese is Chinese but for names that are the same everywhere", () => {
  const same = new Set(["/language", "/result/null", "/shell/version", "/releases/epsilon"]);
  for (const [path, text] of texts(zh)) {
    if (!same.has(path)) assert.match(text, /[\u4e00-\u9fff]|^[\d\s.,，；%–/至]*$/u, path);
  }
});
