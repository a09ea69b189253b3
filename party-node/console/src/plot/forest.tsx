import type { JSX } from "preact";
import { fitted } from "../picture/boxes";
import { useWords } from "../words";
import type { Drawn } from "./bars";
import { BottomAxis, HiddenMark, labelRoom, PlotFrame } from "./frame";
import type { Point } from "./points";
import { estimates } from "./scales";

const ROW = 30;
const TOP = 30;
const FIGURES = 150;

/** Estimates with their confidence intervals; the line stands where there is no effect. */
export function Forest(props: Drawn & { log: boolean }): JSX.Element {
  const { points, width, id, summary, names, log } = props;
  const words = useWords();
  const left = labelRoom(
    points.map((point) => point.label),
    width,
  );
  // On a phone the figures stand below each other's line instead of beside it.
  const beside = width > 520;
  const row = beside ? ROW : ROW + 14;
  const right = beside ? width - FIGURES : width - 16;
  const bottom = TOP + points.length * row;
  const axis = estimates(points, log, left + 8, right, Math.max(3, Math.floor((right - left) / 60)));
  const none = axis.at(log ? 1 : 0);
  const drawable = (point: Point) => point.y !== null && (!log || (point.y > 0 && (point.low ?? point.y) > 0));
  return (
    <PlotFrame width={width} height={bottom + 30} summary={summary} id={id}>
      <text x={left} y={16} font-weight="600">
        {names.y}
      </text>
      <BottomAxis axis={axis} top={TOP} bottom={bottom} />
      <path d={`M${none} ${TOP}V${bottom}`} stroke="var(--ink)" stroke-dasharray="4 3" />
      {points.map((point, i) => {
        const middle = TOP + i * row + ROW / 2;
        return (
          <g key={i}>
            <text x={left - 8} y={middle + 4} text-anchor="end">
              {fitted(point.label, left - 10)}
            </text>
            {drawable(point) && <Estimate point={point} at={axis.at} y={middle} />}
            {drawable(point) && (
              <text
                x={beside ? right + 14 : left + 8}
                y={beside ? middle + 4 : middle + 20}
                font-size={beside ? 12 : 11}
              >
                {figures(point)}
              </text>
            )}
            {point.hidden !== null && (
              <HiddenMark
                x={left + 8}
                y={middle}
                label={point.hidden}
                id={id}
                title={words.result.hiddenMark(point.hidden)}
              />
            )}
            {!drawable(point) && point.hidden === null && (
              <text x={left + 8} y={middle + 4} fill="var(--quiet)">
                {words.result.noEstimate}
              </text>
            )}
          </g>
        );
      })}
    </PlotFrame>
  );
}

function Estimate(props: { point: Point; at: (v: number) => number; y: number }): JSX.Element {
  const {
    point: { y: value, low, high },
    at,
    y,
  } = props;
  return (
    <g stroke="var(--plot)" stroke-width="2" fill="var(--plot)">
      {low !== null && high !== null && (
        <path d={`M${at(low)} ${y}H${at(high)}M${at(low)} ${y - 5}v10M${at(high)} ${y - 5}v10`} />
      )}
      <rect x={at(value!) - 4.5} y={y - 4.5} width="9" height="9" stroke="none" />
    </g>
  );
}

/** `1.40 (1.12 to 1.74)`, in signs that both languages have. */
function figures({ y, low, high }: Point): string {
  const two = (v: number) => v.toFixed(2);
  return low === null || high === null ? two(y!) : `${two(y!)} (${two(low)} – ${two(high)})`;
}
