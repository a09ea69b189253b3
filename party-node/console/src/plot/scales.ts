import { scaleLinear, scaleLog, scaleUtc } from "d3-scale";
import type { Point } from "./points";

/** A scale with the ticks that are drawn on it. */
export interface Axis {
  at: (value: number) => number;
  ticks: { at: number; text: string }[];
}

/** From zero, so that lengths compare; below it where there are negative values. */
export function amounts(of: Point[], from: number, to: number, count: number): Axis {
  const values = of.flatMap(({ y, low, high }) => [y, low, high].filter((v) => v !== null));
  return linear(Math.min(0, ...values), Math.max(0, ...values), from, to, count);
}

/** From the least to the greatest, both included. `plain`: years and codes, which are not written 2,000. */
export function linear(least: number, greatest: number, from: number, to: number, count: number, plain = false): Axis {
  const top = greatest === least ? least + 1 : greatest;
  // Few ticks, as on a phone, do not make the axis longer than what is on it.
  const scale = scaleLinear().domain([least, top]).nice(Math.max(count, 5)).range([from, to]);
  const format = plain ? String : scale.tickFormat(count);
  return { at: (v) => scale(v), ticks: scale.ticks(count).map((v) => ({ at: scale(v), text: format(v) })) };
}

export function times(least: number, greatest: number, from: number, to: number, count: number): Axis {
  const scale = scaleUtc()
    .domain([least, greatest === least ? least + 86_400_000 : greatest])
    .range([from, to]);
  const format = scale.tickFormat(count);
  return { at: (v) => scale(v), ticks: scale.ticks(count).map((v) => ({ at: scale(v), text: format(v) })) };
}

/** Estimates with their limits. On a logarithmic axis 1 is always in sight, and what is not positive cannot be drawn. */
export function estimates(of: Point[], log: boolean, from: number, to: number, count: number): Axis {
  const values = of.flatMap(({ y, low, high }) => (y === null ? [] : [y, low ?? y, high ?? y]));
  if (!log) return linear(Math.min(0, ...values), Math.max(0, ...values), from, to, count);
  const positive = values.filter((v) => v > 0);
  const [least, greatest] = [Math.min(0.9, ...positive), Math.max(1.1, ...positive)];
  const scale = scaleLog().domain([least, greatest]).range([from, to]);
  const fits = (ticks: number[]) => ticks.filter((v) => v >= least && v <= greatest);
  // The finest ticks that do not crowd the axis; 1 is one of all.
  const ticks = LOG_TICKS.map(fits).find((found) => found.length <= count) ?? [1];
  return { at: (v) => scale(v), ticks: ticks.map((v) => ({ at: scale(v), text: String(v) })) };
}

const LOG_TICKS = [
  [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4, 5, 6, 8, 10],
  [0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10],
  [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100],
  [0.001, 0.01, 0.1, 1, 10, 100, 1000],
];
