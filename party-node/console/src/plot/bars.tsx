import type { JSX } from "preact";
import { fitted } from "../picture/boxes";
import { useWords } from "../words";
import { BottomAxis, HiddenColumn, HiddenMark, labelRoom, LeftAxis, PlotFrame } from "./frame";
import { hiddenRuns } from "./hidden";
import { step } from "./points";
import type { Point } from "./points";
import { amounts, linear } from "./scales";

export interface Drawn {
  points: Point[];
  width: number;
  id: string;
  summary: string;
  names: { x: string; y: string };
}

const ROW = 28;
const TOP = 26;

/** One bar for each row, across: labels stay readable. */
export function Bars({ points, width, id, summary, names }: Drawn): JSX.Element {
  const words = useWords();
  const left = labelRoom(
    points.map((point) => point.label),
    width,
  );
  const bottom = TOP + points.length * ROW;
  const axis = amounts(points, left, width - 60, Math.max(2, Math.floor((width - left) / 90)));
  return (
    <PlotFrame width={width} height={bottom + 26} summary={summary} id={id}>
      <text x={left} y={14} font-weight="600">
        {names.y}
      </text>
      <BottomAxis axis={axis} top={TOP} bottom={bottom} />
      {points.map(({ label, y, text, hidden }, i) => {
        const middle = TOP + i * ROW + ROW / 2;
        return (
          <g key={i}>
            <text x={left - 8} y={middle + 4} text-anchor="end">
              {fitted(label, left - 10)}
            </text>
            {y !== null && (
              <rect
                x={Math.min(axis.at(0), axis.at(y))}
                y={middle - 9}
                width={Math.abs(axis.at(y) - axis.at(0))}
                height="18"
                fill="var(--plot)"
              />
            )}
            {y !== null && (
              <text x={Math.max(axis.at(y), axis.at(0)) + 6} y={middle + 4}>
                {text}
              </text>
            )}
            {hidden !== null && (
              <HiddenMark
                x={axis.at(0) + 8}
                y={middle}
                label={hidden}
                id={id}
                title={words.result.hiddenMark(hidden)}
              />
            )}
            {y === null && hidden === null && (
              <text x={axis.at(0) + 6} y={middle + 4} fill="var(--quiet)">
                NULL
              </text>
            )}
          </g>
        );
      })}
      <path d={`M${axis.at(0)} ${TOP}V${bottom}`} stroke="var(--ink)" />
    </PlotFrame>
  );
}

const HEIGHT = 320;

/** Bins of one width side by side; a bin that the answer does not have stays empty. */
export function Histogram({ points, width, id, summary, names }: Drawn): JSX.Element {
  const words = useWords();
  const placed = points.filter((point) => point.x !== null).sort((a, b) => a.x! - b.x!);
  const bin = step(placed);
  const xs = placed.map((point) => point.x!);
  const [left, bottom] = [56, HEIGHT - 44];
  const across = linear(
    Math.min(...xs),
    Math.max(...xs) + bin,
    left,
    width - 22,
    Math.max(2, Math.floor(width / 90)),
    true,
  );
  const up = amounts(placed, bottom, TOP + 8, 5);
  return (
    <PlotFrame width={width} height={HEIGHT} summary={summary} id={id}>
      <text x={4} y={14} font-weight="600">
        {names.y}
      </text>
      <LeftAxis axis={up} left={left} right={width - 22} />
      {placed.map(({ x, y, label, text }, i) => {
        const [from, to] = [across.at(x!), across.at(x! + bin)];
        return (
          <g key={i}>
            {y !== null && (
              <rect
                x={from + 0.5}
                y={up.at(Math.max(y, 0))}
                width={Math.max(to - from - 1, 1)}
                height={Math.abs(up.at(0) - up.at(y))}
                fill="var(--plot)"
              >
                <title>{`${label}: ${text}`}</title>
              </rect>
            )}
          </g>
        );
      })}
      {hiddenRuns(
        placed.map(({ x, hidden }) => ({ at: across.at(x! + bin / 2), hidden })),
        (across.at(bin) - across.at(0)) / 2,
      ).map((run) => (
        <HiddenColumn key={run.from} run={run} bottom={bottom} id={id} title={words.result.hiddenMark(run.label)} />
      ))}
      <BottomAxis axis={across} top={bottom} bottom={bottom + 5} />
      <path d={`M${left} ${bottom}H${width - 22}`} stroke="var(--ink)" />
      <text x={width - 22} y={HEIGHT - 6} text-anchor="end" font-weight="600">
        {names.x}
      </text>
    </PlotFrame>
  );
}
