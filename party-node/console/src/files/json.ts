import type { AnswerColumn, Cost, Disclosure } from "../api";
import { isNumeric } from "../plot/cells";
import type { Cell, Sheet } from "../plot/cells";

/** The answer as one JSON object, in the shape of the node's own output. Numbers keep all their digits: they are written as they came. */
export function answerJson(sheet: Sheet, disclosures: Disclosure[], cost: Cost): string {
  const rows = sheet.rows.map((row) => list(row.map((cell, at) => value(cell, sheet.columns[at]!))));
  const suppressed = sheet.rows.flatMap((cells, row) =>
    cells.flatMap((cell, at) =>
      cell.is === "hidden" ? [{ row, column: sheet.columns[at]!.name, label: cell.label }] : [],
    ),
  );
  const told = disclosures.map(({ id, what, to, kind, why }) => ({ id, what, to, kind, why }));
  const parts = {
    columns: JSON.stringify(sheet.columns.map(({ name, type }) => ({ name, type }))),
    rows: list(rows),
    suppressed: JSON.stringify(suppressed),
    disclosures: JSON.stringify(told),
    cost: JSON.stringify(cost),
  };
  return `{${Object.entries(parts)
    .map(([name, text]) => `"${name}":${text}`)
    .join(",")}}\n`;
}

function value(cell: Cell, column: AnswerColumn): string {
  if (cell.is !== "value") return "null";
  // NaN and infinities are texts.
  const bare = column.type === "Boolean" || (isNumeric(column) && /^-?\d/.test(cell.text));
  return bare ? cell.text : JSON.stringify(cell.text);
}

function list(items: string[]): string {
  return `[${items.join(",")}]`;
}
