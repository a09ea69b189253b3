import type { Answer, AnswerColumn, Value } from "../api";
import { visible } from "../format";

/** One cell as it is shown. A hidden one has no value at all: only its label. */
export type Cell = { is: "value"; text: string } | { is: "null" } | { is: "hidden"; label: string };

/** An answer with its hidden cells in place. */
export interface Sheet {
  columns: AnswerColumn[];
  rows: Cell[][];
}

/** Puts the parts of an answer together. `first` of each part: the number of its first row. */
export function sheet(parts: Answer[]): Sheet {
  const columns = parts[0]?.columns ?? [];
  const labels = new Map(
    parts.flatMap((part) => part.suppressed.map(({ row, at, label }) => [`${row}/${at}`, label] as const)),
  );
  const values = parts.flatMap((part) => part.rows);
  return { columns, rows: values.map((row, i) => row.map((value, at) => cell(value, labels.get(`${i}/${at}`)))) };
}

function cell(value: Value, label: string | undefined): Cell {
  if (label !== undefined) return { is: "hidden", label };
  return value === null ? { is: "null" } : { is: "value", text: String(value) };
}

export function hiddenCells(of: Sheet): number {
  return of.rows.flat().filter((cell) => cell.is === "hidden").length;
}

/** Is it a number, by the name of its type? */
export function isNumeric({ type }: AnswerColumn): boolean {
  return /^(U?Int|Float|Decimal)/.test(type);
}

export function isDate({ type }: AnswerColumn): boolean {
  return /^(Date|Timestamp)/.test(type);
}

/** A cell as a position on an axis: the number or the moment, nothing for NULL, text and what is hidden. */
export function position(cell: Cell | undefined, column: AnswerColumn | undefined): number | null {
  if (cell?.is !== "value" || !column) return null;
  const at = isDate(column) ? Date.parse(cell.text) : isNumeric(column) ? Number(cell.text) : NaN;
  return Number.isFinite(at) ? at : null;
}

/** For people: at most six digits of a real number; integers and decimals whole. The downloads have all digits. */
export function shown(text: string, column: AnswerColumn): string {
  if (!column.type.startsWith("Float")) return visible(text);
  const x = Number(text);
  return Number.isFinite(x) ? String(Number(x.toPrecision(6))) : visible(text);
}
