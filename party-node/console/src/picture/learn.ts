import type { Disclosure, Recipient } from "../api";

/** What one box of the picture learns: numbers of the list beside it. */
export interface Learner {
  name: string;
  numbers: number[];
}

/**
 * Each site's numbers, in order. The site whose node receives the answer for the analyst sees what the analyst does. Guesses
 * are left out: nobody learns them by following the protocol.
 */
export function sitesLearn(sites: string[], disclosures: Disclosure[], answerAt: string | null): Learner[] {
  const learns = (name: string) => (of: Disclosure) => of.sites.includes(name) || (name === answerAt && of.analyst);
  return sites.map((name) => ({ name, numbers: numbersOf(disclosures, learns(name)) }));
}

export function analystLearns(name: string, disclosures: Disclosure[]): Learner {
  return { name, numbers: numbersOf(disclosures, (of) => of.analyst) };
}

function numbersOf(disclosures: Disclosure[], learns: (of: Disclosure) => boolean): number[] {
  return ordered(disclosures).flatMap((of, i) => (of.to !== "guesser" && learns(of) ? [i + 1] : []));
}

/** Runs of numbers as ranges: 1–3, 5. */
export function ranges(numbers: number[]): string {
  const runs: [number, number][] = [];
  for (const n of numbers) {
    const last = runs.at(-1);
    if (last && last[1] === n - 1) last[1] = n;
    else runs.push([n, n]);
  }
  return runs
    .map(([from, to]) => (from === to ? `${from}` : to === from + 1 ? `${from}, ${to}` : `${from}–${to}`))
    .join(", ");
}

/** Disclosures in the order in which they are listed and numbered: by who learns them, else as the engine lists them. */
export function ordered(disclosures: Disclosure[]): Disclosure[] {
  const recipients = [...new Set(disclosures.map((of) => of.to))];
  return recipients.flatMap((to) => disclosures.filter((of) => of.to === to));
}

/** Ordered disclosures under their recipients, each with its number. */
export function byRecipient(
  disclosures: Disclosure[],
): { to: Recipient; items: { number: number; of: Disclosure }[] }[] {
  const numbered = ordered(disclosures).map((of, i) => ({ number: i + 1, of }));
  const recipients = [...new Set(numbered.map(({ of }) => of.to))];
  return recipients.map((to) => ({ to, items: numbered.filter(({ of }) => of.to === to) }));
}
