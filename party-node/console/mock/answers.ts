// Answers of the shape that a question asks for. Counts are those of the bundled synthetic data where the question is one of its own.

import type { Answer, AnswerColumn, Language } from "../src/api";
import { parse } from "./parse";
import type { Parsed } from "./parse";
import { planOf } from "./planner";

const KEYS: [RegExp, string, string[]][] = [
  [/birth_decade|decade/, "Int32", ["1910", "1920", "1930", "1940", "1950", "1960", "1970", "1980", "1990"]],
  [/year/, "Int32", Array.from({ length: 19 }, (_, i) => String(2000 + i))],
  [
    /month|date/,
    "Date32",
    Array.from({ length: 18 }, (_, i) => new Date(Date.UTC(2017, i, 1)).toISOString().slice(0, 10)),
  ],
  [/gender/, "Int64", ["8507", "8532"]],
  [/drug/, "Utf8", ["celecoxib", "diclofenac", "naproxen", "ibuprofen", "ketorolac", "aspirin"]],
  [/condition/, "Int64", ["40481087", "4112343", "260139", "372328", "80180", "378001"]],
];
const COUNTS: Record<string, number[]> = {
  decade: [4, 61, 214, 402, 779, 688, 371, 168, 7],
  year: [212, 230, 241, 228, 260, 251, 244, 270, 282, 9, 291, 276, 288, 301, 295, 310, 302, 6, 288],
  month: [31, 28, 35, 30, 33, 41, 38, 36, 29, 8, 27, 33, 37, 40, 42, 39, 35, 30],
  gender: [1984, 2107],
  drug: [355, 124, 98, 76, 9, 410],
  condition: [2998, 1741, 1439, 613, 479, 8],
};
const RATIOS: [number, number, number][] = [
  [1.396, 1.121, 1.738],
  [0.716, 0.575, 0.892],
  [1.08, 0.83, 1.41],
  [1.22, 0.91, 1.63],
  [1, 1, 1],
  [1.51, 1.2, 1.9],
];
const MIN_PATIENTS = 11;

export function columnsOf(parsed: Parsed): AnswerColumn[] {
  return parsed.items.map(({ text, name }) => ({ name, type: typeOf(parsed, text, name) }));
}

function isKey(parsed: Parsed, text: string, name: string): boolean {
  return parsed.keys.some(
    (key) => [text, name].some((own) => own.toLowerCase() === key.toLowerCase()) || /^\d+$/.test(key),
  );
}

function typeOf(parsed: Parsed, text: string, name: string): string {
  const found = KEYS.find(([pattern]) => pattern.test(name));
  if (isKey(parsed, text, name) && found && !/\b(count|sum|avg)\b/i.test(text)) return found[1];
  if (/count/i.test(text)) return "Int64";
  return /avg|odds|lower|upper|ratio/i.test(text) ? "Float64" : "Int64";
}

/** The answer of a question. */
export function answerOf(sql: string, language: Language): Answer {
  const parsed = parse(sql);
  const columns = columnsOf(parsed);
  const key = parsed.items.findIndex(({ text, name }) => isKey(parsed, text, name));
  const name = key < 0 ? "" : parsed.items[key]!.name;
  const at = Math.max(
    KEYS.findIndex(([pattern]) => pattern.test(name)),
    0,
  );
  const keys = key < 0 ? [""] : KEYS[at]![2];
  const counts = key < 0 ? [479] : COUNTS[["decade", "year", "month", "gender", "drug", "condition"][at]!]!;
  const rows = keys.map((value, row) =>
    parsed.items.map((item, i) => (i === key ? value : figure(item.text, item.name, counts[row]!, row))),
  );
  const small = counts.flatMap((n, row) => (key >= 0 && n < MIN_PATIENTS ? [row] : []));
  const suppressed = small.flatMap((row) =>
    columns.flatMap(({ name }, i) => (i === key ? [] : [{ row, at: i, column: name, label: `<${MIN_PATIENTS}` }])),
  );
  const shown = rows.map((row, r) => row.map((value, i) => (i !== key && small.includes(r) ? null : value)));
  const plan = planOf({ sql, study: "bleeding", audience: "analyst", noise: null, now_ms: null }, "lin", language, "hospital_A");
  return {
    columns,
    rows: shown,
    suppressed,
    disclosures: plan.disclosures,
    cost: { rounds: plan.cost.rounds, bytes: 1_204_336, wall_ms: 4210, parties: 3 },
    next: null,
  };
}

function figure(text: string, name: string, count: number, row: number): string {
  const ratio = RATIOS[row % RATIOS.length]!;
  if (/odds|ratio/i.test(name)) return String(ratio[0]);
  if (/lower/i.test(name)) return String(ratio[1]);
  if (/upper/i.test(name)) return String(ratio[2]);
  if (/avg/i.test(text)) return String(60.93355605048255 - row * 1.37);
  if (/sum/i.test(text)) return String(count * 61 + row);
  return String(count);
}
