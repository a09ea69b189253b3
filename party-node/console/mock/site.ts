import type { Decided, LogKind, LogLine, Release, Trail, Waiting } from "../src/api";
import { digest } from "./network";

/** What one site of the mock keeps. */
export interface Site {
  name: string;
  waiting: Waiting[];
  decided: Decided[];
  releases: Release[];
  trails: Map<string, Trail>;
  log: LogLine[];
}

export function site(name: string): Site {
  return { name, waiting: [], decided: [], releases: [], trails: new Map(), log: [] };
}

/** Writes a line at the end of the site's log. */
export function write(of: Site, at_ms: number, kind: LogKind, about: Record<string, string> = {}): LogLine {
  const line = { seq: of.log.length + 1, at_ms, kind, about };
  of.log.push(line);
  return line;
}

export function head(of: Site): { seq: number; hash: string } {
  return { seq: of.log.length, hash: digest(of.name, String(of.log.length)) };
}

/** Steps as the protocols name them, with bytes that add up to about what was planned. */
const STEPS: [string, number][] = [
  ["/query#0/preprocessing#0/ot#0", 0.34],
  ["/query#0/preprocessing#0/bit triples#0", 0.41],
  ["/query#0/preprocessing#0/dabits#0", 0.08],
  ["/query#0/keys#0/list#0", 0.03],
  ["/query#0/open#0/compare#0", 0.09],
  ["/query#0/open#0/select#0", 0.03],
  ["/query#0/meet#0", 0.01],
  ["/query#0/reveal#0", 0.01],
];

/** A release with what the log says of it; `code` where it was refused after it had begun. */
export function release(
  of: Site,
  others: Site[],
  one: {
    id: string;
    study: string;
    analyst: string;
    query: string;
    plan: string;
    at_ms: number;
    code: string | null;
    bytes: number;
  },
): void {
  const { id, study, analyst, query, plan, at_ms, code, bytes } = one;
  const entry: Release = { id, study, analyst, query, at_ms, state: code ?? "released" };
  const steps = code ? STEPS.slice(0, 5) : STEPS;
  const sent = steps.map(([step, part], i) => ({
    step,
    messages: 2 + 4 * (i + 1),
    bytes: Math.round(bytes * part) + 24 * i,
  }));
  const heads = others.map((other) => ({ site: other.name, ...head(other) }));
  const total = sent.reduce((sum, step) => sum + step.bytes, 0);
  const lines = [
    write(of, at_ms, "begun", {
      release: id,
      analyst,
      plan,
      sites: [of, ...others]
        .map(({ name }) => name)
        .sort()
        .join(", "),
    }),
    write(of, at_ms + 900, "heads", { release: id, of: heads.map((at) => `${at.site} ${at.seq}`).join(", ") }),
    write(of, at_ms + 3900, "sent", { release: id, bytes: String(total) }),
    code
      ? write(of, at_ms + 4000, "refused", { release: id, code })
      : write(of, at_ms + 4000, "released", { release: id }),
  ];
  of.releases.unshift(entry);
  of.trails.set(id, {
    release: entry,
    plan,
    sites: [of, ...others].map(({ name }) => name).sort(),
    sent,
    heads,
    lines,
  });
}
