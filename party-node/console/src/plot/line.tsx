import type { JSX } from "preact";
import { useWords } from "../words";
import type { Drawn } from "./bars";
import { BottomAxis, HiddenColumn, LeftAxis, PlotFrame } from "./frame";
import { hiddenRuns } from "./hidden";
import { runs } from "./points";
import type { Point } from "./points";
import { amounts, linear, times } from "./scales";

const HEIGHT = 320;
const TOP = 34;
/** The radius of a point. */
const DOT = 3.5;

/** Points in the order of x, joined where neighbours have values. */
export function Line(props: Drawn & { time: boolean }): JSX.Element {
  const { width, id, summary, names, time } = props;
  const words = useWords();
  const placed = props.points.filter((point) => point.x !== null).sort((a, b) => a.x! - b.x!);
  const xs = placed.map((point) => point.x!);
  const [left, right, bottom] = [56, width - 18, HEIGHT - 44];
  const [least, greatest, count] = [Math.min(...xs), Math.max(...xs), Math.max(2, Math.floor(width / 110))];
  const across = time
    ? times(least, greatest, left + 8, right, count)
    : linear(least, greatest, left + 8, right, count, true);
  const up = amounts(placed, bottom, TOP, 5);
  const at = (point: Point) => `${across.at(point.x!)} ${up.at(point.y!)}`;
  return (
    <PlotFrame width={width} height={HEIGHT} summary={summary} id={id}>
      <text x={4} y={14} font-weight="600">
        {names.y}
      </text>
      <LeftAxis axis={up} left={left} right={right} />
      {runs(placed).map((run, i) => (
        <path key={i} d={`M${run.map(at).join("L")}`} fill="none" stroke="var(--plot)" stroke-width="2" />
      ))}
      {placed.map(({ x, y, text, low, high }, i) => (
        <g key={i}>
          {low !== null && high !== null && y !== null && (
            <path d={`M${across.at(x!)} ${up.at(low)}V${up.at(high)}`} stroke="var(--plot)" />
          )}
          {y !== null && (
            <circle cx={across.at(x!)} cy={up.at(y)} r={DOT} fill="var(--plot)">
              <title>{text}</title>
            </circle>
          )}
        </g>
      ))}
      {hiddenRuns(
        placed.map(({ x, hidden }) => ({ at: across.at(x!), hidden })),
        DOT + 1,
      ).map((run) => (
        <HiddenColumn key={run.from} run={run} bottom={bottom} id={id} title={words.result.hiddenMark(run.label)} />
      ))}
      <BottomAxis axis={across} top={bottom} bottom={bottom + 5} />
      <path d={`M${left} ${bottom}H${right}`} stroke="var(--ink)" />
      <text x={right} y={HEIGHT - 6} text-anchor="end" font-weight="600">
        {names.x}
      </text>
    </PlotFrame>
  );
}
