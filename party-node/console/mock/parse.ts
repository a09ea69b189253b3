// Just enough SQL for the mock: names are checked against the catalogue, nothing else is understood.

import type { Place, Purpose, Refusal } from "../src/api";
import { CATALOG } from "./network";

export interface Parsed {
  tables: string[];
  items: { text: string; name: string }[];
  keys: string[];
  where: string;
  uses: { table: string; column: string; purpose: Purpose }[];
  matching: boolean;
  extreme: boolean;
}

/** A refusal that travels as the reply. */
export class Refuse extends Error {
  constructor(
    readonly status: number,
    readonly refusal: Refusal,
  ) {
    super(refusal.message);
  }
}

export function refuse(status: number, code: string, message: string, more: Partial<Refusal> = {}): never {
  throw new Refuse(status, { code, message, ...more });
}

export function parse(sql: string): Parsed {
  if (!/^\s*select\b/i.test(sql))
    refuse(422, "SQL_SYNTAX", "expected: SELECT", {
      place: place(sql, sql.search(/\S/)),
      hint: "a question is one SELECT",
    });
  const open = [...sql].filter((c) => c === "(").length - [...sql].filter((c) => c === ")").length;
  if (open !== 0)
    refuse(422, "SQL_SYNTAX", open > 0 ? "expected: )" : "unexpected: )", {
      place: place(sql, open > 0 ? sql.length : sql.lastIndexOf(")")),
    });
  const from = /\bfrom\b/i.exec(sql);
  if (!from) refuse(422, "SQL_SYNTAX", "expected: FROM", { place: place(sql, sql.length) });
  const tables = [...sql.matchAll(/\b(?:from|join)\s+([a-z_][\w.]*)/gi)].map((m) => ({
    name: m[1]!.split(".").at(-1)!.toLowerCase(),
    at: m.index + m[0].length - m[1]!.length,
  }));
  for (const { name, at } of tables)
    if (!CATALOG.tables.some((table) => table.name === name))
      unknown(
        "TABLE",
        "table",
        name,
        place(sql, at),
        CATALOG.tables.map((table) => table.name),
      );
  const names = [...new Set(tables.map((table) => table.name))];
  const items = split(sql.slice(sql.search(/\bselect\b/i) + 6, from.index)).map((text) => ({
    text,
    name: /\bas\s+(\w+)\s*$/i.exec(text)?.[1] ?? /(\w+)\W*$/.exec(text)?.[1] ?? "column",
  }));
  const part = (name: string) =>
    new RegExp(`\\b${name}\\b([\\s\\S]*?)(?=\\bgroup by\\b|\\border by\\b|\\bhaving\\b|\\blimit\\b|$)`, "i")
      .exec(sql)?.[1]
      ?.trim() ?? "";
  const keys = split(part("group by"))
    .filter((key) => key !== "")
    .map((key) => key.replace(/^\w+\./, ""));
  return {
    tables: names,
    items,
    keys,
    where: part("where").replace(/\s+/g, " "),
    uses: uses(sql, names, items, keys, part("where")),
    matching: /count\s*\(\s*distinct/i.test(sql) || names.length > 1,
    extreme: /\b(median|min|max|percentile_cont)\s*\(/i.test(sql),
  };
}

/** Which columns are named where. Unknown names are refused at their place. */
function uses(sql: string, tables: string[], items: Parsed["items"], keys: string[], where: string): Parsed["uses"] {
  const columns = CATALOG.tables
    .filter((table) => tables.includes(table.name))
    .flatMap((table) => table.columns.map((column) => ({ table: table.name, column: column.name })));
  const aliases = new Set([
    ...items.filter((item) => /\bas\b/i.test(item.text)).map((item) => item.name.toLowerCase()),
    ...[...sql.matchAll(/\b(?:from|join)\s+[\w.]+\s+(?:as\s+)?([a-z]\w*)/gi)].map((m) => m[1]!.toLowerCase()),
  ]);
  const bare = sql.replace(/'[^']*'/g, (text) => " ".repeat(text.length));
  const found: Parsed["uses"] = [];
  const expanded = items
    .filter((item) => keys.some((key) => key.toLowerCase() === item.name.toLowerCase()))
    .map((item) => item.text)
    .join(" ");
  for (const { 0: name, index } of bare.matchAll(/[a-z_]\w*/gi)) {
    const lower = name.toLowerCase();
    const known = columns.filter(({ column }) => column === lower);
    if (
      known.length === 0 &&
      !KNOWN.has(lower) &&
      !aliases.has(lower) &&
      !tables.includes(lower) &&
      !/^\s*[(.]/.test(bare.slice(index + name.length)) &&
      !CATALOG.sites.includes(name)
    ) {
      unknown(
        "COLUMN",
        "column",
        name,
        place(sql, index),
        columns.map(({ column }) => column),
      );
    }
    for (const { table, column } of known) {
      const word = new RegExp(`\\b${column}\\b`, "i");
      if (word.test(where)) found.push({ table, column, purpose: "filter" });
      if (keys.some((key) => word.test(key)) || word.test(expanded)) found.push({ table, column, purpose: "group" });
      else if (
        column !== "person_id" &&
        items.some((item) => /\b(sum|avg|var_samp|stddev)\s*\(/i.test(item.text) && word.test(item.text))
      )
        found.push({ table, column, purpose: "sum" });
      if (column === "person_id") found.push({ table, column, purpose: "link" });
    }
  }
  const seen = new Set<string>();
  return found.filter((use) => !seen.has(JSON.stringify(use)) && seen.add(JSON.stringify(use)));
}

const KNOWN = new Set(
  "select from where group by order asc desc and or not in is null as on join inner left right full between like case when then else end distinct limit having interval cast date extract year month day int integer double real text over partition using union all with true false exists filter within nulls first last".split(
    " ",
  ),
);

function unknown(code: string, kind: string, name: string, at: Place, names: string[]): never {
  const [near] = names
    .filter((other) => distance(other, name) <= Math.max(2, other.length / 3))
    .sort((a, b) => distance(a, name) - distance(b, name));
  refuse(
    422,
    `UNKNOWN_${code}`,
    `there is no ${kind} '${name}'`,
    near ? { place: at, hint: `did you mean '${near}'?` } : { place: at },
  );
}

/** How many letters differ. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}

function place(sql: string, index: number): Place {
  const before = sql.slice(0, Math.max(index, 0)).split("\n");
  return { line: before.length, column: [...before.at(-1)!].length + 1 };
}

/** At commas outside brackets. */
function split(text: string): string[] {
  const parts = [""];
  let depth = 0;
  for (const c of text) {
    depth += c === "(" ? 1 : c === ")" ? -1 : 0;
    if (c === "," && depth === 0) parts.push("");
    else parts[parts.length - 1] += c;
  }
  return parts.map((part) => part.trim());
}
