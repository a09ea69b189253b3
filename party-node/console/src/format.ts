import type { Language, Millis } from "./api";
import type { Words } from "./words";

/**
 * Text of others as it may be shown: control characters, and those that turn the direction, become a sign of their own.
 * A steward decides about what a question says, not about what it looks like.
 */
export function visible(text: string): string {
  return text.replace(HOSTILE, "\u{fffd}");
}

/** As the node's own `hostile`, but for line ends and tabs. */
const HOSTILE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** Numbers as readers of both languages write them: 12,345. */
export function whole(n: number): string {
  return new Intl.NumberFormat("en-US").format(n);
}

/** Bytes with three digits: 817 bytes, 12.3 kB, 4.05 MB. */
export function bytes(n: number, words: Words): string {
  if (n < 1000) return words.unit.bytes(String(n));
  const power = Math.min(Math.floor(Math.log10(n) / 3), UNITS.length);
  return `${Number((n / 1000 ** power).toPrecision(3))} ${UNITS[power - 1]}`;
}

const UNITS = ["kB", "MB", "GB", "TB"];

/** `2026-11-22 13:20 UTC`: sites may be in several time zones, and their logs are in UTC. */
export function utc(ms: Millis): string {
  return `${new Date(ms).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

/** `3 min ago`; the day itself for what is older than two days. */
export function ago(ms: Millis, now: Millis, words: Words): string {
  const minutes = Math.floor((now - ms) / 60_000);
  if (minutes < 1) return words.unit.now;
  if (minutes < 60) return words.unit.ago(words.unit.minutes(minutes));
  if (minutes < 2880) return words.unit.ago(words.unit.hours(Math.floor(minutes / 60)));
  return words.unit.ago(words.unit.days(Math.floor(minutes / 1440)));
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

/** The first digits of a digest, by which stewards name a plan. */
export function short(digest: string): string {
  return digest.slice(0, 12);
}

/** ε from millionths, without rounding: 1500000 is 1.5. */
export function epsilon(millionths: number): string {
  return (millionths / 1_000_000).toFixed(6).replace(/\.?0+$/, "");
}

/** Names as a list: a, b, c. */
export function listed(names: string[], language: Language): string {
  return names.join(language === "zh" ? "、" : ", ");
}
