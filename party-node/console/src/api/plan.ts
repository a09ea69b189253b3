/** Catalogue and plans. Source: query-planner's `catalog`, `plan`, `disclosure`, `cost`, `grants`. */

import type { Audience, Digest, Millis, Refusal } from "./common";

export type Class = "count" | "sum" | "table" | "matching" | "extreme" | "approximate" | "intersection";
export type Purpose = "filter" | "group" | "sum" | "link" | "extreme" | "reveal";
export type Kind = "value" | "size" | "order" | "keys" | "bit";
export type Recipient = "analyst" | "everyone" | "each_of_two" | "guesser" | "receiver";

/** What the network publishes: nothing in it is a row value beyond declared domains. */
export interface Catalog {
  sites: string[];
  patient_key: string;
  /** Public bound on the patients of one site. */
  max_patients: number;
  tables: Table[];
  /** The strictest numbers of network and sites. */
  policy: Thresholds & { min_sites: number; max_groups: number };
}

export interface Table {
  name: string;
  /** Public bound on the rows of one site. */
  max_rows: number;
  sites: string[];
  columns: Column[];
}

export interface Column {
  name: string;
  /** `int`, `real`, `decimal(10,2)`, `date`, `timestamp`, `bool`, `text`. */
  data_type: string;
  /** The declared values, as text; null where none are declared. */
  domain: string[] | null;
  /** The declared closed range, as text. */
  range: [string, string] | null;
  /** What every site reads a value outside as the nearest of. */
  clamp: [string, string] | null;
  agree_keys: boolean;
  quasi_identifier: boolean;
  /** For which purposes every site that publishes its policy allows it. */
  uses: Purpose[];
}

/** How small cells are treated. `min_patients` 1 hides none. */
export interface Thresholds {
  min_patients: number;
  zero_allowed: boolean;
  flag_extreme_shares: boolean;
}

/** A question that is to be planned. */
export interface PlanRequest {
  sql: string;
  /** Name of the study it belongs to. */
  study: string;
  audience: Audience;
  /** What `now()` means; null: the moment at which the node plans. */
  now_ms: Millis | null;
  /** What is added to every figure; null: nothing. */
  noise: Noise | null;
}

/** Noise as an analyst asks for it. */
export interface Noise {
  /** ε of the whole question: a decimal number with at most six digits after the point. */
  epsilon: string;
  mechanism: "laplace" | "gaussian";
  /** δ is 10 to the minus this; null: none, or what the sites' policies allow. */
  delta_digits: number | null;
}

/** A plan, also of a question that some site's published policy refuses: then its entry in `asks` says so. */
export interface Plan {
  digest: Digest;
  /** Digest of what is disclosed. */
  disclosure: Digest;
  /** Version of the planner: another version may derive another plan. */
  planner: string;
  /** 0 where the question does not ask for the time. */
  now_ms: Millis;
  /** As parsed and printed again. */
  query: string;
  study: string;
  analyst: string;
  audience: Audience;
  /** The computing sites, in party order. */
  sites: string[];
  /** The site whose node receives the answer for the analyst and sees it; null where the analyst has their own key. */
  answer_at: string | null;
  classes: Class[];
  disclosures: Disclosure[];
  cost: Forecast;
  thresholds: Thresholds;
  asks: SiteAsk[];
  /** The columns of the answer. */
  columns: AnswerColumn[];
  /** Things that the analyst should know (integer division, order of NULLs). */
  notes: string[];
  /** The whole plan as text: what stewards approve. Always English, as it is digested. */
  explained: string;
}

/** Something that a plan reveals. Its words are in the language of the request. */
export interface Disclosure {
  /** `answer/0/slot/2`, `keys/1`. */
  id: string;
  kind: Kind;
  to: Recipient;
  /** The sites that learn it, of those named by `to`; none for the analyst alone. */
  sites: string[];
  /** Does the analyst learn it? */
  analyst: boolean;
  /** Is something opened for it, or does it follow from the plan and from other disclosures? */
  opened: boolean;
  what: string;
  why: string;
}

/** What a run costs, known before it. All are bounds, of opening the figures; work on shares is not counted but told in words. */
export interface Forecast {
  rounds: number;
  bytes_per_site: number;
  bytes_total: number;
  /** Random numbers for work on shares, which hold no data; null where none are needed or not yet known. */
  preparation: { rounds: number; bytes_per_site: number } | null;
  /** Work on shares in words, in the language of the request. */
  work: string[];
}

/** What a plan asks of one site: the smallest policy under which it runs there, and what the site publishes. */
export interface SiteAsk {
  site: string;
  classes: Class[];
  tables: { table: string; columns: { column: string; uses: Purpose[] }[] }[];
  /** `untold`: the site publishes no reasons and answers when it is asked. */
  verdict: "allows" | "refuses" | "untold";
  /** The first rule that refuses. */
  refusal: Refusal | null;
  /** The same as a policy file, to send to the site's stewards. */
  toml: string;
}

export interface AnswerColumn {
  name: string;
  /** Arrow's name of the type, as in `Answer`'s JSON: `Int64`, `Float64`, `Decimal128(18, 4)`, `Utf8`, `Date32`, `Boolean`. */
  type: string;
}
