import assert from "node:assert/strict";
import { test } from "node:test";
import type { Answer } from "../src/api";
import { hiddenCells, sheet, shown } from "../src/plot/cells";
import { suggest } from "../src/plot/choose";
import { hiddenRuns } from "../src/plot/hidden";
import { fitting } from "../src/plot/plot";
import { points, runs, step } from "../src/plot/points";
import { amounts, estimates, linear, times } from "../src/plot/scales";

function answer(
  columns: [string, string][],
  rows: Answer["rows"],
  hidden: [row: number, at: number][] = [],
  next: number | null = null,
): Answer {
  const suppressed = hidden.map(([row, at]) => ({ row, at, column: columns[at]![0], label: "<11" }));
  return {
    columns: columns.map(([name, type]) => ({ name, type })),
    rows,
    suppressed,
    disclosures: [],
    cost: { rounds: 1, bytes: 1, wall_ms: 1, parties: 3 },
    next,
  };
}

const COUNTS = answer(
  [
    ["year", "Int32"],
    ["n", "Int64"],
  ],
  [
    ["2000", "40"],
    ["2001", null],
    ["2002", "0"],
    ["2003", null],
    ["2004", "52"],
  ],
  [[1, 1]],
);

test("a hidden cell has no value, a zero is a zero, and NULL is neither", () => {
  const all = points(sheet([COUNTS]), suggest(sheet([COUNTS]))!);
  assert.deepEqual(
    all.map(({ y, hidden }) => [y, hidden]),
    [
      [40, null],
      [null, "<11"],
      [0, null],
      [null, null],
      [52, null],
    ],
  );
});

test("a line is broken where a value is hidden or missing", () => {
  const all = points(sheet([COUNTS]), suggest(sheet([COUNTS]))!);
  assert.deepEqual(
    runs(all).map((run) => run.map((point) => point.x)),
    [[2000], [2002], [2004]],
  );
});

test("an estimate whose limit is hidden is hidden too", () => {
  const of = sheet([
    answer(
      [
        ["drug", "Utf8"],
        ["odds_ratio", "Float64"],
        ["lower", "Float64"],
        ["upper", "Float64"],
      ],
      [["a", "1.4", null, "1.7"]],
      [[0, 2]],
    ),
  ]);
  const [point] = points(of, suggest(of)!);
  assert.deepEqual([point?.y, point?.hidden], [null, "<11"]);
});

test("rows of later parts find their hidden cells by the number of the whole answer's row", () => {
  const columns: [string, string][] = [
    ["k", "Utf8"],
    ["n", "Int64"],
  ];
  const all = sheet([
    answer(
      columns,
      [
        ["a", "20"],
        ["b", "30"],
      ],
      [],
      2,
    ),
    answer(columns, [["c", null]], [[2, 1]]),
  ]);
  assert.deepEqual(all.rows[2]?.[1], { is: "hidden", label: "<11" });
  assert.equal(hiddenCells(all), 1);
});

test("the kind of plot follows from names and types of columns", () => {
  const kind = (...columns: [string, string][]) =>
    suggest(
      sheet([
        answer(columns, [
          ["1", "2", "3", "4"],
          ["2", "2", "3", "4"],
          ["3", "2", "3", "4"],
        ]),
      ]),
    )?.kind ?? null;
  assert.equal(kind(["condition", "Utf8"], ["n", "Int64"]), "bars");
  assert.equal(kind(["age_band", "Int64"], ["n", "Int64"]), "histogram");
  assert.equal(kind(["month", "Date32"], ["n", "Int64"]), "line");
  assert.equal(kind(["drug", "Utf8"], ["n", "Int64"], ["ci_low", "Float64"], ["ci_high", "Float64"]), "forest");
  assert.equal(kind(["n", "Int64"]), null);
  assert.equal(kind(["name", "Utf8"], ["other", "Utf8"]), null);
});

test("a forest takes the ratio before its limits, on a logarithmic axis, whatever counts stand beside it", () => {
  const of = sheet([
    answer(
      [
        ["drug", "Utf8"],
        ["n", "Int64"],
        ["hr", "Float64"],
        ["lower", "Float64"],
        ["upper", "Float64"],
      ],
      [["a", "100", "2", "1", "4"]],
    ),
  ]);
  assert.deepEqual(suggest(of), { kind: "forest", x: 0, y: 2, low: 3, high: 4, log: true });
});

test("lengths begin at zero, and negative values go the other way", () => {
  const of = [-5, 20].map((y) => ({ label: "", x: null, y, text: "", low: null, high: null, hidden: null }));
  const axis = amounts(of, 0, 100, 5);
  assert.ok(axis.at(0) > axis.at(-5) && axis.at(0) < axis.at(20));
  assert.equal(amounts(of.slice(1), 0, 100, 5).at(0), 0);
});

test("a logarithmic axis shows 1 and keeps equal ratios equally long", () => {
  const of = [{ label: "", x: null, y: 1.4, text: "", low: 0.7, high: 2.8, hidden: null }];
  const axis = estimates(of, true, 0, 300, 6);
  assert.ok(axis.ticks.some(({ text }) => text === "1") && axis.ticks.length >= 3);
  assert.ok(Math.abs(axis.at(1.4) - axis.at(0.7) - (axis.at(2.8) - axis.at(1.4))) < 1e-9);
});

test("axes exist for one value, for none, and for moments", () => {
  assert.ok(linear(7, 7, 0, 100, 4).ticks.length > 1);
  assert.ok(amounts([], 0, 100, 4).ticks.length > 1);
  assert.ok(times(Date.UTC(2020, 0), Date.UTC(2020, 11), 0, 400, 4).ticks.length > 1);
  assert.deepEqual(
    linear(2000, 2010, 0, 100, 2, true).ticks.map(({ text }) => text),
    ["2000", "2005", "2010"],
  );
});

test("hidden points that crowd an axis share a frame, which says how many they are and covers no point that is shown", () => {
  const at = (...places: [at: number, hidden: string | null][]) =>
    hiddenRuns(
      places.map(([at, hidden]) => ({ at, hidden })),
      4,
    );
  const apart = at([0, "<11"], [100, "<11"]);
  assert.deepEqual(
    apart.map(({ from, to, count }) => [from, to, count]),
    [
      [-10, 10, 1],
      [90, 110, 1],
    ],
  );
  assert.deepEqual(at([0, "<11"], [9, "<11"], [18, "<11"]), [{ label: "<11", count: 3, from: -10, to: 28 }]);
  const beside = at([0, "<11"], [9, null], [18, "<11"], [27, "<20"]);
  assert.deepEqual(
    beside.map(({ label, count }) => [label, count]),
    [
      ["<11", 1],
      ["<11", 1],
      ["<20", 1],
    ],
  );
  assert.ok(beside[0]!.to <= 5 && beside[1]!.from >= 13, "the point at 9 is free");
});

test("limits stay with the value that they are of", () => {
  const suggested = { kind: "forest" as const, x: 0, y: 2, low: 3, high: 4, log: true };
  const other = fitting({ ...suggested, y: 1 }, suggested, suggested);
  assert.deepEqual([other.low, other.high], [null, null]);
  assert.deepEqual(fitting({ ...other, y: 2 }, other, suggested), suggested);
  const chosen = fitting({ ...other, low: 3 }, other, suggested);
  assert.equal(chosen.low, 3);
});

test("the width of bins is the smallest step", () => {
  const of = [50, 30, 40, 70].map((x) => ({ label: "", x, y: 1, text: "", low: null, high: null, hidden: null }));
  assert.equal(step(of), 10);
  assert.equal(step(of.slice(0, 1)), 1);
});

test("reals are shown with six digits, integers and decimals with all", () => {
  assert.equal(shown("60.93355605048255", { name: "", type: "Float64" }), "60.9336");
  assert.equal(shown("9007199254740993", { name: "", type: "Int64" }), "9007199254740993");
  assert.equal(shown("0.100", { name: "", type: "Decimal128(9, 3)" }), "0.100");
});
