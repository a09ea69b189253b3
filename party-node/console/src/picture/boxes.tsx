import type { JSX } from "preact";

/** Room beside stacked boxes. */
export const RAIL = 24;

/** Bold letters are wider. */
const BOLD = 0.88;

export interface Rect {
  x: number;
  y: number;
  w: number;
  h: number;
}

interface Labelled {
  rect: Rect;
  title: string;
  lines: string[];
}

/** A party: its name, and what it learns. */
export function Box({ rect, title, lines, learns }: Labelled & { learns: boolean }): JSX.Element {
  return (
    <g>
      <rect
        x={rect.x}
        y={rect.y}
        width={rect.w}
        height={rect.h}
        rx="8"
        fill="var(--soft)"
        stroke={learns ? "var(--accent)" : "var(--line)"}
        stroke-width={learns ? 2 : 1}
      />
      <text x={rect.x + 12} y={rect.y + 21} font-weight="600">
        {fitted(title, (rect.w - 24) * BOLD)}
      </text>
      {lines.map((line, i) => (
        <text
          key={i}
          x={rect.x + 12}
          y={rect.y + 39 + 17 * i}
          font-size="12"
          fill={i === lines.length - 1 && learns ? "var(--ink)" : "var(--quiet)"}
        >
          {fitted(line, rect.w - 24)}
        </text>
      ))}
    </g>
  );
}

/** The computation, which is nobody's machine. */
export function Hub({ rect, title, lines }: Labelled): JSX.Element {
  const [x, top] = [rect.x + rect.w / 2, rect.y + rect.h / 2];
  return (
    <g text-anchor="middle">
      <rect x={rect.x} y={rect.y} width={rect.w} height={rect.h} rx={rect.h / 2} fill="var(--accent)" />
      <text x={x} y={top - 14} font-weight="600" fill="var(--on-accent)">
        {title}
      </text>
      {lines.map((line, i) => (
        <text key={i} x={x} y={top + 6 + 18 * i} font-size="12" fill="var(--on-accent)">
          {fitted(line, rect.w - rect.h / 2)}
        </text>
      ))}
    </g>
  );
}

export function ArrowHead(props: { id: string }): JSX.Element {
  return (
    <defs>
      <marker id={props.id} viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">
        <path d="M0 0 8 4 0 8z" fill="var(--quiet)" />
      </marker>
    </defs>
  );
}

/** How boxes stand to each other: side by side, one above the other, or several above the other. */
export type Way = "right" | "down" | "rail";

/** From one box to another. From stacked ones it runs down beside them, not through them. */
export function Arrow(props: { from: Rect; to: Rect; way: Way; head: string }): JSX.Element {
  const { from, to, way } = props;
  const [right, left] = [
    { x: from.x + from.w, y: from.y + from.h / 2 },
    { x: to.x - 2, y: to.y + to.h / 2 },
  ];
  const [below, above] = [
    { x: from.x + from.w / 2, y: from.y + from.h },
    { x: to.x + to.w / 2, y: to.y - 2 },
  ];
  const [x, y] = [(right.x + left.x) / 2, (below.y + above.y) / 2];
  const paths: Record<Way, string> = {
    right: `M${right.x} ${right.y}C${x} ${right.y} ${x} ${left.y} ${left.x} ${left.y}`,
    down: `M${below.x} ${below.y}C${below.x} ${y} ${above.x} ${y} ${above.x} ${above.y}`,
    rail: `M${right.x} ${right.y}h${RAIL - 8}V${above.y}`,
  };
  return (
    <path d={paths[way]} fill="none" stroke="var(--quiet)" stroke-width="1.5" marker-end={`url(#${props.head})`} />
  );
}

/** Text cut to a width: SVG does not wrap. Chinese characters are twice as wide as Latin ones. */
export function fitted(text: string, width: number): string {
  let used = 0;
  for (const [i, character] of [...text].entries()) {
    used += character.codePointAt(0)! > 0x2e7f ? 13 : 6.9;
    if (used > width) return `${[...text].slice(0, Math.max(i - 1, 0)).join("")}…`;
  }
  return text;
}
