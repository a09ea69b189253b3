/** What a site's stewards see and order. Source: party-node's `govern::steward`, `state::audit::Event`, `site_policy`. */

import type { Digest, Millis, Refusal, Study } from "./common";
import type { Class, Plan, Purpose } from "./plan";

/** A plan that waits; `govern::steward::Entry`. */
export interface Waiting {
  plan: Digest;
  study: string;
  analyst: string;
  since_ms: Millis;
  /** Its first part if it is long. */
  query: string;
  /** Who has consented, where it takes two. */
  consents: string[];
}

/** Everything that a steward needs to decide. */
export interface Review {
  plan: Plan;
  /** The question as it was asked. */
  sql: string;
  study: Study;
  analyst_pin: string;
  since_ms: Millis;
  consents: string[];
  /** How many stewards have to say yes. */
  needs: number;
  /**
   * The policy lists stewards with keys of their own: they approve by their own command, which signs. The console has no
   * key, and a page that its node serves should not be given one. Where it takes two stewards, this is always so.
   */
  own_keys: boolean;
  /** What the site's own policy says now. */
  refusal: Refusal | null;
  /** Earlier answers of this study that count here. */
  releases_before: number;
}

/** Counts of the site's own rows for a plan: they stay on this screen. */
export interface DryRun {
  plan: Digest;
  refused: string | null;
  sums: { rows: number; groups: number | null; patients: number | null; excluded: number }[];
}

/** What was decided about a plan and may be withdrawn. */
export interface Decided {
  plan: Digest;
  study: string;
  analyst: string;
  query: string;
  at_ms: Millis;
  by: string;
  decision: { state: "approved"; until_ms: Millis } | { state: "rejected"; reason: string };
}

/** A release; `govern::steward::Line`. */
export interface Release {
  /** 32 hexadecimal digits. */
  id: string;
  study: string;
  analyst: string;
  at_ms: Millis;
  /** `begun`, `released`, or the code with which it was refused. */
  state: string;
  /** Empty where the study was closed. */
  query: string;
}

/** What the log says of a release. */
export interface Trail {
  release: Release;
  plan: Digest;
  sites: string[];
  sent: { step: string; messages: number; bytes: number }[];
  heads: { site: string; seq: number; hash: Digest }[];
  lines: LogLine[];
}

/** One line of the log; `kind` and fields as in `state::audit::Event`. */
export interface LogLine {
  seq: number;
  at_ms: Millis;
  kind: LogKind;
  /** The fields of the event, as text. */
  about: Record<string, string>;
}

export type LogKind =
  | "started"
  | "policy"
  | "waiting"
  | "approved"
  | "rejected"
  | "withdrawn"
  | "begun"
  | "noted"
  | "released"
  | "refused"
  | "counted"
  | "denied"
  | "sent"
  | "heads"
  | "reserved"
  | "taken"
  | "deleted";

/** The log stands as it was written; otherwise the reply is a refusal, `AUDIT_BROKEN` or `LEDGER_ROLLED_BACK`. */
export interface Verified {
  lines: number;
  hash: Digest;
  times_ms: [Millis, Millis] | null;
  /** Pins of the keys that signed. */
  keys: string[];
}

/** The site's policy as it holds now. */
export interface PolicyView {
  digest: Digest;
  /** Does the network file publish this policy? Otherwise nothing is approved (`POLICY_CHANGED`). */
  published: boolean;
  policy: SitePolicy;
}

/** `site_policy::SitePolicy` as JSON. */
export interface SitePolicy {
  allow_all: boolean;
  classes: Class[];
  analysts?: string[];
  tell_reasons: boolean;
  min_patients?: number;
  min_sites?: number;
  zero_allowed?: boolean;
  flag_extreme_shares?: boolean;
  max_groups?: number;
  two_persons?: boolean;
  stewards?: Record<string, string>;
  columns: Record<string, Record<string, Purpose[] | { uses: Purpose[]; clamp?: [string, string] }>>;
  matching?: { min_patients?: number; max_patients?: number };
  /** Answers in one study alone of those that share a table. */
  one_ledger?: boolean;
  released_tables?: { k_anonymous: number; l_diverse: number; sensitive: string[] };
  releases?: Limit;
  refusals?: Limit;
  opt_out?: { file: string };
  approve?: { classes: Class[]; analysts?: string[] }[];
  /** Further keys are shown as they stand in the file. */
  privacy?: { epsilon: string; most_per_release: string } & Record<string, unknown>;
}

export interface Limit {
  /** Of one analyst in one study. */
  most: number;
  /** Of everybody; four times as many where it is not given. */
  total?: number;
  days: number;
}

/** How much of a limit is used now: of everybody's total. */
export interface Gauge {
  most: number;
  days: number;
  used: number;
}

/** How much of each limit is used now. Null where there is none. */
export interface Gauges {
  releases: Gauge | null;
  refusals: Gauge | null;
  /** What noisy answers spend, of each study and of all together (null). Never refunded. */
  privacy: Spent[];
  /** Whom the opt-out list takes out of everything; null without a list. */
  opted_out: LeftOut | null;
}

/** ε and δ of a study, or of all together. Null where there is no limit. */
export interface Spent {
  study: string | null;
  /** In millionths. */
  epsilon: { spent: number; limit: number } | null;
  /** As text, exact: `2·10^-6`; `part` of 1000 is spent. */
  delta: { spent: string; limit: string; part: number } | null;
}

/** What the opt-out list took away when the node started. */
export interface LeftOut {
  /** Entries that have rows here. */
  patients: number;
  rows: number;
  /** Entries that have none: of nobody here, or spelled otherwise. */
  unknown: number;
}

/** Another site, as this node last met it. */
export interface Peer {
  site: string;
  address: string;
  state: "well" | "silent" | "wrong";
  /** What is wrong, or how it was last tried. */
  refusal: Refusal | null;
  asked_ms: Millis;
  answered_ms: Millis | null;
  round_trip_ms: number | null;
  /** Its clock less ours. */
  clock_ms: number | null;
  version: string | null;
  /** Does it have the same network file? */
  same_network: boolean | null;
  pin: string;
}
