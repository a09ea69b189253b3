import type { Words } from "./words";

export type StepKind = keyof Words["stepKinds"];

/** Names of steps that say what their messages are, the more telling first: random numbers are made inside of everything. */
const NAMES: [StepKind, string[]][] = [
  ["random", ["preprocessing", "ot", "prepare", "silent", "vole"]],
  ["reveal", ["reveal", "reveal in the clear", "tell"]],
  ["groups", ["sketch", "list"]],
  [
    "matching",
    ["align", "pair", "pass", "table", "circuit psi", "opprf", "oprf", "ecdh", "psi", "match", "intersection"],
  ],
];

/** What is sent in a step, by its path: `/query#0/preprocessing#0/ot#0`. */
export function stepKind(path: string): StepKind {
  const names = path.split("/").map((part) => part.replace(/#\d+$/, ""));
  return NAMES.find(([, known]) => names.some((name) => known.includes(name)))?.[0] ?? "work";
}
