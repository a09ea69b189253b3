import assert from "node:assert/strict";
import { test } from "node:test";
import { CompletionContext } from "@codemirror/autocomplete";
import { EditorState, Text } from "@codemirror/state";
import { filtered } from "../src/analyst/catalog";
import { range } from "../src/analyst/editor";
import { columnsAt } from "../src/analyst/editor_sql";
import { later, withJob } from "../src/analyst/jobs";
import type { Catalog, Disclosure, Job, Recipient, Table } from "../src/api";
import { path } from "../src/api/http";
import { ago, bytes, epsilon, utc, visible } from "../src/format";
import { fitted } from "../src/picture/boxes";
import { analystLearns, byRecipient, ranges, sitesLearn } from "../src/picture/learn";
import { stepKind } from "../src/step_kind";
import { dictionaries } from "../src/words";

const words = dictionaries.en;

test("bytes have three digits and the right unit", () => {
  assert.deepEqual(
    [0, 999, 1000, 12_345, 41_600_000, 5e15].map((n) => bytes(n, words)),
    ["0 bytes", "999 bytes", "1 kB", "12.3 kB", "41.6 MB", "5000 TB"],
  );
});

test("ε keeps every millionth", () => {
  assert.deepEqual([0, 1, 1_500_000, 4_000_000, 10_000_000].map(epsilon), ["0", "0.000001", "1.5", "4", "10"]);
});

test("a time is told by its distance, and exactly in UTC", () => {
  const at = (minutes: number) => ago(0, minutes * 60_000, words);
  assert.deepEqual([0.5, 5, 125, 2881].map(at), ["just now", "5 min ago", "2 h ago", "2 days ago"]);
  assert.equal(utc(951_782_399_999), "2000-02-28 23:59 UTC");
});

test("characters that hide or turn what a question says are shown as such", () => {
  assert.equal(visible("SELECT 1\n\tFROM t -- \u202eedoc\u2066\u0007"), "SELECT 1\n\tFROM t -- \ufffdedoc\ufffd\ufffd");
  assert.equal(visible("患者 é 𝒳"), "患者 é 𝒳");
});

test("numbers run together as ranges", () => {
  assert.deepEqual([[], [4], [1, 2], [1, 2, 3, 5, 7, 8, 9]].map(ranges), ["", "4", "1, 2", "1–3, 5, 7–9"]);
});

const disclosure = (id: string, to: Recipient, sites: string[], analyst: boolean): Disclosure => ({
  id,
  to,
  sites,
  analyst,
  kind: "value",
  opened: true,
  what: id,
  why: "",
});

test("the picture and the list number disclosures alike, and a guess is nobody's knowledge", () => {
  const all = [
    disclosure("answer", "analyst", [], true),
    disclosure("keys", "everyone", ["a", "b"], true),
    disclosure("second", "analyst", [], true),
    disclosure("guess", "guesser", ["a", "b"], true),
  ];
  const numbers = new Map(byRecipient(all).flatMap(({ items }) => items.map(({ number, of }) => [of.id, number])));
  assert.deepEqual(
    [...numbers],
    [
      ["answer", 1],
      ["second", 2],
      ["keys", 3],
      ["guess", 4],
    ],
  );
  assert.deepEqual(sitesLearn(["a", "c"], all, null), [
    { name: "a", numbers: [3] },
    { name: "c", numbers: [] },
  ]);
  assert.deepEqual(analystLearns("lin", all).numbers, [1, 2, 3]);
  // Its node receives the answer for the analyst.
  assert.deepEqual(sitesLearn(["c"], all, "c")[0]?.numbers, [1, 2, 3]);
});

test("text that does not fit is cut, and Chinese takes more room", () => {
  assert.equal(fitted("hospital_A", 200), "hospital_A");
  assert.match(fitted("hospital_A_with_a_long_name", 80), /^hospital.*…$/);
  assert.ok(fitted("联合计算联合计算", 70).length < fitted("abcdefghabcdefgh", 70).length);
});

test("a place is marked to the end of its word, counted in characters and not in UTF-16", () => {
  const doc = Text.of(["SELECT '𝒳', conditon_id", "FROM t"]);
  assert.deepEqual(range({ line: 1, column: 13 }, doc), { from: 13, to: 24 });
  assert.deepEqual(range({ line: 9, column: 99 }, doc), { from: doc.length, to: doc.length });
});

test("what was sent is named by the most telling step of its path", () => {
  const paths = [
    "/query#0/align#0/ot#1/silent#0",
    "/query#0/reveal#0/commit#0",
    "/query#0/sketch#0",
    "/query#0/pass#2/table#0",
    "/query#0/mul#3",
  ];
  assert.deepEqual(paths.map(stepKind), ["random", "reveal", "groups", "matching", "work"]);
});

test("a table is found by its name or by its columns", () => {
  const column = (name: string) => ({ name }) as Table["columns"][number];
  const table = { name: "person", columns: [column("person_id"), column("year_of_birth")] } as Table;
  assert.equal(filtered(table, "pers")?.columns.length, 2);
  assert.deepEqual(filtered(table, "birth")?.columns, [column("year_of_birth")]);
  assert.equal(filtered(table, "drug"), null);
});

test("columns of the tables that a question names are offered, each once, and none after a dot", () => {
  const column = (name: string) => ({ name, data_type: "int" }) as Table["columns"][number];
  const tables = [
    ["person", "person_id", "year_of_birth"],
    ["drug_exposure", "person_id", "drug_concept_id"],
    ["measurement", "value"],
  ] as const;
  const catalog = {
    sites: [],
    tables: tables.map(([name, ...columns]) => ({ name, columns: columns.map(column) })),
  } as unknown as Catalog;
  const offered = (doc: string) =>
    columnsAt(catalog, new CompletionContext(EditorState.create({ doc }), doc.length, false))?.options.map(
      ({ label }) => label,
    );
  assert.deepEqual(offered("SELECT 1 FROM person JOIN drug_exposure WHERE p"), [
    "person_id",
    "year_of_birth",
    "drug_concept_id",
  ]);
  assert.equal(offered("SELECT 1 FROM person WHERE person.y"), undefined);
});

test("an older state of a job that arrives late is dropped", () => {
  const [done, running] = [{ id: "a", revision: 9 } as Job, { id: "a", revision: 8 } as Job];
  assert.equal(later(done, running), done);
  assert.equal(later(running, done), done);
  assert.deepEqual(withJob([done], running), [done]);
});

test("a job takes the place of its older state, a new one comes first", () => {
  const job = (id: string, state: string, revision = 1) => ({ id, state, revision }) as unknown as Job;
  assert.deepEqual(withJob([job("a", "waiting"), job("b", "done")], job("a", "running")), [
    job("a", "running"),
    job("b", "done"),
  ]);
  assert.deepEqual(
    withJob([job("a", "done")], job("c", "waiting")).map(({ id }) => id),
    ["c", "a"],
  );
});

test("a query leaves out what is not given and escapes the rest", () => {
  assert.equal(path("/api/releases", { study: null, from: 0 }), "/api/releases?from=0");
  assert.equal(path("/api/releases", { study: "a&b", from: 3 }), "/api/releases?study=a%26b&from=3");
});
