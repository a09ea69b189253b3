import type { ComponentChildren, JSX } from "preact";
import { useId } from "preact/hooks";
import type { HiddenRun } from "./hidden";
import type { Axis } from "./scales";

/** The hatched ground of what is hidden. */
export const HATCH = "hatch";

interface Frame {
  width: number;
  height: number;
  summary: string;
  /** A prefix that makes the names of patterns unique on a page. */
  id: string;
  children: ComponentChildren;
}

/** An SVG that stands alone: no style sheet, so that the download looks like the page. */
export function PlotFrame(props: Frame): JSX.Element {
  const title = useId();
  const { width, height, id } = props;
  return (
    <svg
      xmlns="http://www.w3.org/2000/svg"
      role="img"
      aria-labelledby={title}
      width={width}
      height={height}
      viewBox={`0 0 ${width} ${height}`}
      font-family="system-ui, sans-serif"
      font-size="12"
      fill="var(--ink)"
    >
      <title id={title}>{props.summary}</title>
      <defs>
        <pattern id={`${id}${HATCH}`} width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
          <rect width="6" height="6" fill="var(--paper)" />
          <path d="M0 0V6" stroke="var(--quiet)" stroke-width="2" />
        </pattern>
      </defs>
      {props.children}
    </svg>
  );
}

/** Vertical lines with their numbers below. */
export function BottomAxis(props: { axis: Axis; top: number; bottom: number }): JSX.Element {
  const { axis, top, bottom } = props;
  return (
    <g>
      {axis.ticks.map(({ at, text }) => (
        <g key={text}>
          <path d={`M${at} ${top}V${bottom}`} stroke="var(--line)" />
          <text x={at} y={bottom + 16} text-anchor="middle" fill="var(--quiet)">
            {text}
          </text>
        </g>
      ))}
    </g>
  );
}

/** Horizontal lines with their numbers at the left. */
export function LeftAxis(props: { axis: Axis; left: number; right: number }): JSX.Element {
  const { axis, left, right } = props;
  return (
    <g>
      {axis.ticks.map(({ at, text }) => (
        <g key={text}>
          <path d={`M${left} ${at}H${right}`} stroke="var(--line)" />
          <text x={left - 6} y={at + 4} text-anchor="end" fill="var(--quiet)">
            {text}
          </text>
        </g>
      ))}
    </g>
  );
}

/** What is hidden: its label in a hatched frame of one size, apart from the axis, so that nobody takes it for a bar. */
export function HiddenMark(props: { x: number; y: number; label: string; id: string; title: string }): JSX.Element {
  return <Hatched {...props} across={20} turn="" />;
}

/** The same upright at its place of an axis, as wide as the run of hidden points. */
export function HiddenColumn(props: { run: HiddenRun; bottom: number; id: string; title: string }): JSX.Element {
  const { from, to, label, count } = props.run;
  const title = count > 1 ? `${count} × ${props.title}` : props.title;
  const at = { x: (from + to) / 2, y: props.bottom - 8 };
  return <Hatched {...at} label={label} id={props.id} title={title} across={to - from} turn=" rotate(-90)" />;
}

/** Below this there is no room for letters. */
const LETTERS = 14;

interface Hatching {
  x: number;
  y: number;
  label: string;
  id: string;
  title: string;
  /** Across the letters. */
  across: number;
  turn: string;
}

function Hatched(props: Hatching): JSX.Element {
  const { label, across } = props;
  const width = 14 + 8 * label.length;
  return (
    <g class="hidden-mark" transform={`translate(${props.x} ${props.y})${props.turn}`}>
      <title>{props.title}</title>
      <rect
        x="0"
        y={-across / 2}
        width={width}
        height={across}
        rx={Math.min(4, across / 2)}
        fill={`url(#${props.id}${HATCH})`}
        stroke="var(--quiet)"
        stroke-dasharray="3 2"
      />
      {across >= LETTERS && (
        <>
          <rect x="5" y="-7" width={width - 10} height="14" rx="3" fill="var(--paper)" />
          <text x={width / 2} y="4" text-anchor="middle" font-weight="600">
            {label}
          </text>
        </>
      )}
    </g>
  );
}

/** Room for labels at the left, by the longest. */
export function labelRoom(labels: string[], width: number): number {
  const wide = (text: string) => [...text].reduce((sum, c) => sum + (c.codePointAt(0)! > 0x2e7f ? 12.5 : 6.8), 0);
  return Math.min(Math.max(40, ...labels.map(wide)) + 14, width * 0.4);
}
