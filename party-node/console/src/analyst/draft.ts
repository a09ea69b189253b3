import { useState } from "preact/hooks";
import type { Audience, Me, Millis, Noise } from "../api";
import type { PlanFile } from "../files/plan_file";

/** What the analyst is writing. Kept in memory only: a question may hold what should not lie about. */
export interface Draft {
  sql: string;
  /** How often the text came from elsewhere than the editor. */
  given: number;
  study: string;
  audience: Audience;
  noise: Noise | null;
  now_ms: Millis | null;
  file: { name: string; of: PlanFile } | null;
}

const EMPTY: Draft = { sql: "", given: 0, study: "", audience: "analyst", noise: null, now_ms: null, file: null };

let kept = EMPTY;

/** The draft; it survives a change of page or language, not a reload. */
export function useDraft(me: Me): [Draft, (part: Partial<Draft>) => void] {
  const [draft, set] = useState<Draft>(() => ({
    ...kept,
    study: kept.study === "" ? (me.studies[0]?.name ?? "") : kept.study,
  }));
  const change = (part: Partial<Draft>) => set((before) => (kept = { ...before, ...part }));
  return [draft, change];
}

/** Begins a draft elsewhere, for the page that is opened next. */
export function begin(draft: Partial<Draft>): void {
  kept = { ...kept, noise: null, now_ms: null, file: null, ...draft };
}
