import { isDate, isNumeric } from "./cells";
import type { Sheet } from "./cells";

export type PlotKind = "bars" | "histogram" | "line" | "forest";

/** What is drawn: numbers of columns. `low` and `high` are limits of confidence. */
export interface Choice {
  kind: PlotKind;
  x: number;
  y: number;
  low: number | null;
  high: number | null;
  log: boolean;
}

const LOW = /^(lower|low|lo|lcl|ci_?low(er)?|conf_?low|.*_(lower|low|lo))$/i;
const HIGH = /^(upper|high|hi|ucl|ci_?(high|upp(er)?)|conf_?high|.*_(upper|high|hi))$/i;
const RATIO = /(^|_)(or|rr|hr|irr|odds|ratio)(_|$)/i;
/** Names of keys that divide a range into equal steps. */
const STEPS = /(age|band|bin|bucket|decade|days|score)/i;
const TIMES = /(^|_)(year|month|week|date|day)(_|$)/i;

/** What fits an answer; null where there is nothing to draw. The reader may choose otherwise. */
export function suggest({ columns, rows }: Sheet): Choice | null {
  const numeric = columns.flatMap((column, i) => (isNumeric(column) ? [i] : []));
  const named = (pattern: RegExp) => numeric.find((i) => pattern.test(columns[i]!.name)) ?? null;
  const [low, high] = [named(LOW), named(HIGH)];
  const x = 0;
  const figures = numeric.filter((i) => i !== low && i !== high && (i !== x || columns.length === 1));
  const ratios = figures.filter((i) => RATIO.test(columns[i]!.name));
  // An estimate stands right before its limits, or is called a ratio.
  const y =
    low !== null && high !== null ? (ratios[0] ?? figures.filter((i) => i < low).at(-1) ?? figures[0]) : figures[0];
  if (y === undefined || columns.length < 2) return null;
  const first = columns[x]!;
  const of = { x, y, low, high, log: false };
  if (low !== null && high !== null) {
    const ratio = [y, low, high].some((i) => RATIO.test(columns[i]!.name));
    return { ...of, kind: "forest", log: ratio };
  }
  if (isDate(first) || (isNumeric(first) && TIMES.test(first.name))) return { ...of, kind: "line" };
  if (isNumeric(first) && STEPS.test(first.name) && rows.length > 2) return { ...of, kind: "histogram" };
  return { ...of, kind: "bars" };
}

/** Kinds that can be drawn with these columns. */
export function possible({ columns }: Sheet, choice: Choice): PlotKind[] {
  const x = columns[choice.x];
  const ordered = x !== undefined && (isNumeric(x) || isDate(x));
  return ["bars", ...(ordered ? (["histogram", "line"] as const) : []), "forest"];
}
