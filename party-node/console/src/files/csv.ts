import type { Cell, Sheet } from "../plot/cells";

/** Header and rows (RFC 4180), as the node writes them: NULL is an empty field, an empty text is `""`, a hidden cell its label. */
export function csv({ columns, rows }: Sheet): string {
  const lines = [columns.map(({ name }) => quoted(name)), ...rows.map((row) => row.map(field))];
  return lines.map((line) => `${line.join(",")}\r\n`).join("");
}

function field(cell: Cell): string {
  switch (cell.is) {
    case "null":
      return "";
    case "hidden":
      return quoted(cell.label);
    case "value":
      return quoted(cell.text);
  }
}

function quoted(text: string): string {
  return text === "" || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
