import assert from "node:assert/strict";
import { test } from "node:test";
import type { Job } from "../src/api";
import { csv } from "../src/files/csv";
import { answerJson } from "../src/files/json";
import { PAPER, onPaper } from "../src/files/paper";
import { planFile, readPlanFile } from "../src/files/plan_file";
import type { Sheet } from "../src/plot/cells";

const value = (text: string) => ({ is: "value" as const, text });
const SHEET: Sheet = {
  columns: [
    { name: "name, long", type: "Utf8" },
    { name: "n", type: "Int64" },
    { name: "ok", type: "Boolean" },
  ],
  rows: [
    [value('say "no"'), value("9007199254740993"), value("true")],
    [value(""), { is: "hidden", label: "<11" }, { is: "null" }],
    [value("true"), value("NaN"), value("false")],
  ],
};

test("CSV quotes what it must, tells NULL from the empty text, and writes a hidden cell's label", () => {
  assert.equal(csv(SHEET), '"name, long",n,ok\r\n"say ""no""",9007199254740993,true\r\n"",<11,\r\ntrue,NaN,false\r\n');
});

test("JSON keeps every digit, is null where a cell is hidden, and says which are", () => {
  const text = answerJson(SHEET, [], { rounds: 2, bytes: 3, wall_ms: 4, parties: 3 });
  assert.ok(text.includes('[["say \\"no\\"",9007199254740993,true],["",null,null],["true","NaN",false]]'), text);
  assert.deepEqual(JSON.parse(text).suppressed, [{ row: 1, column: "n", label: "<11" }]);
});

test("a plan file is read as it was written, and nothing else is", () => {
  const job = {
    sql: "SELECT 1",
    study: "s",
    audience: "analyst",
    noise: { epsilon: "0.5", mechanism: "gaussian", delta_digits: 6 },
    now_ms: 5,
    plan: "p",
    disclosure: "d",
    study_digest: "sd",
    network: "n",
    planner: "v",
    id: "secret",
  };
  const file = planFile(job as unknown as Job);
  assert.deepEqual(readPlanFile(JSON.stringify(file)), file);
  assert.ok(!JSON.stringify(file).includes("secret"));
  const { noise: _, ...older } = file;
  assert.deepEqual(readPlanFile(JSON.stringify(older)), { ...file, noise: null });
  for (const text of [
    "",
    "null",
    "[]",
    "{}",
    '{"consilium_plan":2}',
    JSON.stringify({ ...file, audience: "all" }),
    JSON.stringify({ ...file, noise: { epsilon: 1, mechanism: "laplace", delta_digits: null } }),
    JSON.stringify({ ...file, noise: { epsilon: "1", mechanism: "uniform", delta_digits: null } }),
    JSON.stringify({ ...file, now_ms: "5" }),
  ]) {
    assert.equal(readPlanFile(text), null, text);
  }
});

test("a picture on paper has the colours of paper and no names of them", () => {
  const text = Object.keys(PAPER)
    .map((name) => `fill="var(${name})"`)
    .join(" ");
  assert.doesNotMatch(onPaper(text), /var\(/);
});
