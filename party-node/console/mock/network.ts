// The network of examples/network: three hospitals over OMOP tables, with the policies that they publish.

import { createHash } from "node:crypto";
import type { Catalog, Class, Column, Purpose, SitePolicy, Study, Table } from "../src/api";

export const SITES = ["hospital_A", "hospital_B", "hospital_C"];

export function digest(...parts: string[]): string {
  return createHash("sha256").update(parts.join("\0")).digest("hex");
}

export const NETWORK = digest("network");

const TABLES = ["person", "condition_occurrence", "drug_exposure", "measurement", "procedure_occurrence"];

export const STUDIES: Study[] = [
  {
    name: "bleeding",
    digest: digest("study", "bleeding"),
    purpose: "how often gastrointestinal bleeding, and what precedes it, is recorded at three hospitals",
    legal_basis: "GDPR Art. 9(2)(j), research",
    ethics: "EK 2026-114",
    analysts: ["lin", "ana"],
    sites: SITES,
    tables: TABLES,
    ends: "2027-12-31",
  },
  {
    name: "analgesics",
    digest: digest("study", "analgesics"),
    purpose: "which analgesics are given before a bleeding, by age",
    legal_basis: "GDPR Art. 9(2)(j), research",
    ethics: null,
    analysts: ["lin"],
    sites: SITES,
    tables: ["person", "condition_occurrence", "drug_exposure"],
    ends: "2027-06-30",
  },
];

/** Accounts of the mock: token, site, name, roles. */
export const ACCOUNTS = [
  { token: "steward-A", site: "hospital_A", name: "ada", roles: ["steward"] as const },
  { token: "steward-B", site: "hospital_B", name: "bo", roles: ["steward"] as const },
  { token: "steward-C", site: "hospital_C", name: "chen", roles: ["steward"] as const },
  { token: "analyst-A", site: "hospital_A", name: "lin", roles: ["analyst"] as const },
  { token: "both-A", site: "hospital_A", name: "ada", roles: ["steward", "analyst"] as const },
];

const COLUMNS: Record<string, [string, string][]> = {
  person: [
    ["person_id", "int"],
    ["gender_concept_id", "int"],
    ["year_of_birth", "int"],
  ],
  condition_occurrence: [
    ["condition_occurrence_id", "int"],
    ["person_id", "int"],
    ["condition_concept_id", "int"],
    ["condition_start_date", "date"],
    ["condition_end_date", "date"],
  ],
  drug_exposure: [
    ["drug_exposure_id", "int"],
    ["person_id", "int"],
    ["drug_concept_id", "int"],
    ["drug_exposure_start_date", "date"],
    ["drug_exposure_end_date", "date"],
  ],
  measurement: [
    ["measurement_id", "int"],
    ["person_id", "int"],
    ["measurement_concept_id", "int"],
    ["measurement_date", "date"],
    ["value_as_number", "real"],
  ],
  procedure_occurrence: [
    ["procedure_occurrence_id", "int"],
    ["person_id", "int"],
    ["procedure_concept_id", "int"],
    ["procedure_date", "date"],
  ],
};

const ALL: Class[] = ["count", "sum", "table", "matching", "extreme"];
const key: Purpose[] = ["link"];
const coded: Purpose[] = ["filter", "group"];

export const POLICIES: Record<string, SitePolicy> = {
  hospital_A: {
    allow_all: false,
    classes: ALL,
    analysts: ["lin", "ana"],
    tell_reasons: true,
    min_patients: 11,
    zero_allowed: false,
    flag_extreme_shares: true,
    columns: {
      person: {
        person_id: key,
        gender_concept_id: ["group"],
        year_of_birth: { uses: ["filter", "group", "sum", "extreme"], clamp: ["1900", "2030"] },
      },
      condition_occurrence: { person_id: key, condition_concept_id: coded, condition_start_date: ["filter", "group"] },
      drug_exposure: { person_id: key, drug_concept_id: coded, drug_exposure_start_date: ["filter"] },
      measurement: { person_id: key, measurement_concept_id: ["filter"] },
      procedure_occurrence: { person_id: key, procedure_concept_id: ["filter"] },
    },
    matching: { min_patients: 20, max_patients: 100000 },
    releases: { most: 100, days: 30 },
    refusals: { most: 20, days: 1 },
    approve: [{ classes: ["count", "sum"] }],
    opt_out: { file: "opt_out.csv" },
    privacy: { epsilon: "4", most_per_release: "0.5" },
  },
  hospital_B: {
    allow_all: false,
    classes: ALL,
    tell_reasons: true,
    min_patients: 10,
    max_groups: 64,
    columns: {
      person: { person_id: key, gender_concept_id: coded, year_of_birth: ["filter", "group", "sum", "extreme"] },
      condition_occurrence: { person_id: key, condition_concept_id: coded },
      drug_exposure: { person_id: key, drug_concept_id: coded },
      measurement: { person_id: key, measurement_concept_id: ["filter"] },
      procedure_occurrence: { person_id: key, procedure_concept_id: ["filter"] },
    },
    releases: { most: 40, days: 30 },
    refusals: { most: 20, days: 1 },
  },
  hospital_C: {
    allow_all: false,
    classes: ALL,
    tell_reasons: false,
    min_patients: 8,
    min_sites: 3,
    columns: {
      person: { person_id: key, gender_concept_id: coded, year_of_birth: ["filter", "group", "sum", "extreme"] },
      condition_occurrence: { person_id: key, condition_concept_id: coded, condition_start_date: ["filter"] },
      drug_exposure: { person_id: key, drug_concept_id: ["filter"] },
      measurement: { person_id: key, measurement_concept_id: ["filter"] },
      procedure_occurrence: { person_id: key, procedure_concept_id: ["filter"] },
    },
    refusals: { most: 10, days: 1 },
    approve: [{ classes: ["count"], analysts: ["lin"] }],
  },
};

export function usesAt(site: string, table: string, column: string): Purpose[] {
  const grant = POLICIES[site]?.columns[table]?.[column];
  return grant === undefined ? [] : Array.isArray(grant) ? grant : grant.uses;
}

function column(table: string, [name, data_type]: [string, string]): Column {
  const telling = SITES.filter((site) => POLICIES[site]!.tell_reasons);
  const every = (purpose: Purpose) => telling.every((site) => usesAt(site, table, name).includes(purpose));
  const purposes: Purpose[] = ["filter", "group", "sum", "link", "extreme", "reveal"];
  return {
    name,
    data_type,
    domain: name === "gender_concept_id" ? ["8507", "8532"] : null,
    range: null,
    clamp: name === "year_of_birth" ? ["1900", "2030"] : null,
    agree_keys: name.endsWith("concept_id"),
    quasi_identifier: false,
    uses: purposes.filter(every),
  };
}

export const CATALOG: Catalog = {
  sites: SITES,
  patient_key: "person_id",
  max_patients: 100_000,
  tables: TABLES.map((name): Table => ({
    name,
    max_rows: 1_000_000,
    sites: SITES,
    columns: COLUMNS[name]!.map((of) => column(name, of)),
  })),
  policy: { min_patients: 11, zero_allowed: false, flag_extreme_shares: true, min_sites: 3, max_groups: 64 },
};
