import { isDate, position, shown } from "./cells";
import type { Sheet } from "./cells";
import type { Choice } from "./choose";

/** One row of a plot. `y` is null where there is no value; then `hidden` has the label if there is one that may not be shown. */
export interface Point {
  label: string;
  x: number | null;
  y: number | null;
  text: string;
  low: number | null;
  high: number | null;
  hidden: string | null;
}

/** More rows than a reader can tell apart. */
export const MAX_POINTS = 500;

export function points({ columns, rows }: Sheet, choice: Choice): Point[] {
  const { x, y, low, high } = choice;
  return rows.slice(0, MAX_POINTS).map((row) => {
    const [key, figure] = [row[x], row[y]];
    const limit = (at: number | null) => (at === null ? null : position(row[at], columns[at]));
    // A figure whose limits are hidden is not drawn as if it had none.
    const cells = [figure, low === null ? undefined : row[low], high === null ? undefined : row[high]];
    const hidden = cells.find((cell) => cell?.is === "hidden");
    const value = hidden ? null : position(figure, columns[y]);
    return {
      label: key?.is === "value" ? shown(key.text, columns[x]!) : key?.is === "hidden" ? key.label : "NULL",
      x: position(key, columns[x]),
      y: value,
      text: value !== null && figure?.is === "value" ? shown(figure.text, columns[y]!) : "",
      low: limit(low),
      high: limit(high),
      hidden: hidden?.is === "hidden" ? hidden.label : null,
    };
  });
}

/** Are the positions of x moments? */
export function isTime({ columns }: Sheet, choice: Choice): boolean {
  const column = columns[choice.x];
  return column !== undefined && isDate(column);
}

/** Runs of neighbours that all have values: a line is broken where one is hidden or missing. */
export function runs(of: Point[]): Point[][] {
  const out: Point[][] = [[]];
  for (const point of of) {
    if (point.y === null || point.x === null) out.push([]);
    else out.at(-1)!.push(point);
  }
  return out.filter((run) => run.length > 0);
}

/** The width of a histogram's bins: the smallest step between neighbours. */
export function step(of: Point[]): number {
  const xs = of.flatMap(({ x }) => (x === null ? [] : [x])).sort((a, b) => a - b);
  const steps = xs
    .slice(1)
    .map((x, i) => x - xs[i]!)
    .filter((d) => d > 0);
  return steps.length > 0 ? Math.min(...steps) : 1;
}
