/** What all parts of the contract use. Field names are the engine's own words. */

/** Milliseconds since 1970-01-01 UTC. */
export type Millis = number;

/** SHA-256 in 64 lower-case hexadecimal digits. */
export type Digest = string;

/** The languages that the node words its sentences in. */
export type Language = "en" | "zh";

/** A part of a list: `next` is the `from` of the following part, null at the end. */
export interface Part<T> {
  items: T[];
  next: number | null;
}

/** The body of every reply whose status is 400 or above. */
export interface Refusal {
  /** Stable, upper-case: `SQL_SYNTAX`, `UNKNOWN_COLUMN`, `NOT_LOGGED_IN`… */
  code: string;
  /** One sentence in English, without row values. The console words the codes it knows in the reader's language. */
  message: string;
  /** What to do instead. */
  hint?: string;
  /** Where in the SQL text. */
  place?: Place;
}

/** A place in a text: both from 1, columns in Unicode scalar values (as sqlparser counts them). */
export interface Place {
  line: number;
  column: number;
}

/** What somebody may do at this console. One account may have both roles. */
export type Role = "steward" | "analyst";

/** Who is logged in, and where. */
export interface Me {
  /** The site whose node serves this console. */
  site: string;
  /** The account's name; a steward's note in the log, an analyst's name in the network file. */
  name: string;
  roles: Role[];
  /** Sent back as the header `X-Consilium-CSRF` with every change; new after every login. */
  csrf: string;
  /** Version of the node. */
  version: string;
  /** Digest of the network file. */
  network: Digest;
  /** All sites, in party order. */
  sites: string[];
  /** The studies that this site takes part in; for an analyst alone those that they may ask in. */
  studies: Study[];
}

/** A study, as every site signed it. */
export interface Study {
  name: string;
  digest: Digest;
  purpose: string;
  legal_basis: string;
  ethics: string | null;
  analysts: string[];
  sites: string[];
  tables: string[];
  /** Its last day, UTC: `2027-06-30`. */
  ends: string;
}

/** Who receives the answer: only the analyst, or every site as well. */
export type Audience = "analyst" | "everyone";
