/** Questions that run for a long time, and their answers. Source: issue 6 item 2, `output::Answer`. */

import type { Audience, Digest, Millis, Refusal } from "./common";
import type { AnswerColumn, Disclosure, Forecast, Noise, PlanRequest } from "./plan";

/** A job: a question that was submitted. Only its analyst sees it. */
export interface Job {
  /** 32 hexadecimal digits. */
  id: string;
  /** Grows with every change, so that an older state that arrives late is known as such. */
  revision: number;
  study: string;
  /** Digest of the study. */
  study_digest: Digest;
  /** Digest of the network file. */
  network: Digest;
  sql: string;
  audience: Audience;
  noise: Noise | null;
  now_ms: Millis;
  plan: Digest;
  disclosure: Digest;
  planner: string;
  submitted_ms: Millis;
  ended_ms: Millis | null;
  /** `waiting`: for a decision at some site. `queued`: every site agreed, and others run first. */
  state: "waiting" | "queued" | "running" | "done" | "failed" | "cancelled";
  /** In party order. */
  sites: SiteState[];
  /** Why it failed: the sentence that the analyst may know, with the site in it. */
  refusal: Refusal | null;
  forecast: Omit<Forecast, "work">;
  /** What it cost, when it is done. */
  cost: Cost | null;
  /** Rows of the answer, when there is one. */
  rows: number | null;
  /** Until when the node keeps the answer. */
  kept_until_ms: Millis | null;
}

/** Where a job stands at one site. */
export interface SiteState {
  site: string;
  state: "asked" | "waiting" | "rejected" | "approved" | "running" | "done" | "failed" | "silent";
  /** Since when it is in this state. */
  since_ms: Millis;
  /** For whom it waits. */
  waits_for: WaitsFor | null;
  /** What runs. */
  step: RunningStep | null;
  /** Bytes that the site has sent so far. */
  bytes: number;
  /** Why it failed or was rejected, as far as the site tells. */
  refusal: Refusal | null;
}

export interface WaitsFor {
  /** How the site's stewards name the plan: the first digits of its digest. */
  plan: string;
  /** How many stewards have to say yes. */
  needs: number;
  /** Who has. */
  consents: string[];
}

export interface RunningStep {
  /** Its path: `/query#0/reveal#0`. */
  path: string;
  /** Rounds so far, and the plan's as far as they are known before: work on shares may take more. */
  round: number;
  rounds: number;
}

/** What a run cost, over all parties. */
export interface Cost {
  rounds: number;
  bytes: number;
  wall_ms: number;
  parties: number;
}

/** A job is submitted with the digest that was shown: the node refuses with `PLAN_DIFFERS` if it derives another plan. */
export interface Submission extends PlanRequest {
  plan: Digest;
}

/**
 * Part of an answer. A number comes as its decimal text, because JSON readers would round it; how to read a text is said by the
 * column's type. NULL is null. A hidden cell is null too and stands in `suppressed`.
 */
export interface Answer {
  columns: AnswerColumn[];
  rows: Value[][];
  /** `row` counts from the first row of the whole answer. */
  suppressed: { row: number; at: number; column: string; label: string }[];
  disclosures: Disclosure[];
  cost: Cost;
  /** The `from` of the next part. */
  next: number | null;
}

export type Value = string | boolean | null;

/** Events of `GET /api/events`: the name is the field, the data its JSON. */
export interface Events {
  /** A job of this analyst, whenever anything of it changes; all unfinished ones at first. */
  job: Job;
  /** For stewards: how many plans wait. */
  inbox: { waiting: number };
}
