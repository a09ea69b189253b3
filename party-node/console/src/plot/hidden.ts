/** Hidden points of an axis that one frame marks. */
export interface HiddenRun {
  label: string;
  count: number;
  /** Where the frame begins and ends. */
  from: number;
  to: number;
}

interface Placed {
  at: number;
  hidden: string | null;
}

/** Half of a frame that has room, and what parts it from the next. */
const HALF = 10;
const GAP = 2;
/** The least that can be seen. */
const LEAST = 1.5;

/**
 * Frames for the hidden ones of points in their order: one for all that stand too close to each other for a frame each, and none
 * over a neighbour that is shown, which takes `reach` to each side.
 */
export function hiddenRuns(points: Placed[], reach: number): HiddenRun[] {
  const out: HiddenRun[] = [];
  points.forEach(({ at, hidden }, i) => {
    if (hidden === null) return;
    const [before, after] = [points[i - 1], points[i + 1]];
    const room = (other: Placed | undefined) => {
      if (other === undefined || other.hidden === hidden) return HALF;
      const apart = Math.abs(other.at - at);
      return Math.min(HALF, other.hidden === null ? apart - reach : apart / 2);
    };
    const [from, to] = [at - Math.max(room(before), LEAST), at + Math.max(room(after), LEAST)];
    const last = out.at(-1);
    if (last && before?.hidden === hidden && from < last.to + GAP) Object.assign(last, { to, count: last.count + 1 });
    else out.push({ label: hidden, count: 1, from, to });
  });
  return out;
}
