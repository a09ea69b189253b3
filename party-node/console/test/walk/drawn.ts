// A plot as a reader takes it: what its axes say of its marks. Nothing here knows how the page computes either.

import type { Locator } from "playwright-core";

/** A mark in pixels of the picture, as the browser has drawn it. */
export interface Box {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

interface Tick extends Box {
  text: string;
}

/** All that stands in a plot. */
export interface Drawn {
  /** What readers hear who do not see it. */
  summary: string;
  width: number;
  height: number;
  /** Everything with ink, to see whether it lies within the picture. */
  all: Box[];
  ticks: Tick[];
  dots: Box[];
  bars: Box[];
  /** Corners of the lines that join dots, of each by itself. */
  lines: { x: number; y: number }[][];
  /** Estimates of a forest: the square, its interval, and whether there is ink from one end of that to the other. */
  estimates: { square: Box; interval: Box; whole: boolean }[];
  /** The frames of what is hidden. */
  hidden: (Box & { text: string; title: string })[];
  texts: (Box & { text: string })[];
}

export async function drawn(svg: Locator): Promise<Drawn> {
  return svg.evaluate((root) => {
    const frame = root.getBoundingClientRect();
    const box = (of: Element) => {
      const { left, right, top, bottom } = of.getBoundingClientRect();
      const [x, y] = [frame.left, frame.top];
      return { left: left - x, right: right - x, top: top - y, bottom: bottom - y };
    };
    const every = (selector: string) => [...root.querySelectorAll(selector)].filter((of) => !of.closest("defs"));
    const own = (of: Element) => [...of.childNodes].map((node) => node.nodeValue ?? "").join("");
    const text = (of: Element) => ({ ...box(of), text: own(of) });
    const isTick = (of: Element) => of.getAttribute("stroke") === "var(--line)";
    const corners = (of: Element) => {
      const numbers = (of.getAttribute("d")!.match(/-?[\d.]+(?:e-?\d+)?/g) ?? []).map(Number);
      return Array.from({ length: numbers.length / 2 }, (_, i) => ({ x: numbers[2 * i]!, y: numbers[2 * i + 1]! }));
    };
    const isWhole = (of: SVGPathElement) => {
      const { x, y, width, height } = of.getBBox();
      const along = Array.from({ length: 41 }, (_, i) => new DOMPoint(x + (width * i) / 40, y + height / 2));
      return along.every((point) => of.isPointInStroke(point));
    };
    const marks = every(".hidden-mark");
    const outside = (of: Element) => !of.closest(".hidden-mark");
    const groups = every("g[stroke='var(--plot)']");
    return {
      summary: root.querySelector("title")!.textContent!,
      width: frame.width,
      height: frame.height,
      all: every("path, rect, circle, text").map(box),
      ticks: every("path")
        .filter(isTick)
        .map((line) => ({ ...box(line), text: own(line.parentElement!.querySelector("text")!) })),
      dots: every("circle").map(box),
      bars: every("rect[fill='var(--plot)']").filter(outside).map(box),
      lines: every("path[fill='none'][stroke='var(--plot)']").map(corners),
      estimates: groups.map((group) => {
        const [square, interval] = [group.querySelector("rect")!, group.querySelector("path")!];
        return { square: box(square), interval: box(interval), whole: isWhole(interval) };
      }),
      hidden: marks.map((mark) => ({
        ...box(mark.querySelector("rect")!),
        text: own(mark.querySelector("text")!),
        title: own(mark.querySelector("title")!),
      })),
      texts: every("text").filter(outside).map(text),
    };
  });
}

type Axis = (value: number) => number;

/** Where a value stands by the ticks of an axis: between the first and the last of them, as far as lengths or ratios go. */
export function axis(ticks: Tick[], way: "across" | "up", scale: "linear" | "log" = "linear"): Axis {
  const lies = ({ left, right, top, bottom }: Box) => (right - left > bottom - top ? "up" : "across");
  const on = scale === "log" ? Math.log : (value: number) => value;
  const marks = ticks
    .filter((tick) => lies(tick) === way)
    .map((tick) => ({ value: number(tick.text), at: way === "across" ? tick.left : tick.top }))
    .sort((a, b) => a.value - b.value);
  const [first, last] = [marks[0], marks.at(-1)];
  if (!first || !last || first.value === last.value) throw new Error(`no axis ${way} with two ticks`);
  const slope = (last.at - first.at) / (on(last.value) - on(first.value));
  return (value) => first.at + slope * (on(value) - on(first.value));
}

/** A number as axes and tables show it. */
function number(text: string): number {
  return Number(text.replaceAll(",", "").replace("\u2212", "-"));
}

export function middle({ left, right, top, bottom }: Box): { x: number; y: number } {
  return { x: (left + right) / 2, y: (top + bottom) / 2 };
}

export function overlap(a: Box, b: Box): boolean {
  return a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
}
