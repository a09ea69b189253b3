// What happened before the mock was started: some weeks of a study.

import type { Job, Submission } from "../src/api";
import { digest, NETWORK, POLICIES, SITES, STUDIES } from "./network";
import { planOf } from "./planner";
import { release, write } from "./site";
import type { World } from "./world";

const DAY_MS = 86_400_000;

const COUNT =
  "SELECT COUNT(DISTINCT person_id) AS patients FROM condition_occurrence WHERE condition_concept_id = 192671";
const CONDITIONS =
  "SELECT condition_concept_id, COUNT(*) AS n\nFROM condition_occurrence\nWHERE condition_concept_id IN (40481087, 4112343, 260139, 372328, 80180, 378001)\nGROUP BY condition_concept_id\nORDER BY n DESC";
const DECADES =
  "SELECT CAST(FLOOR(year_of_birth / 10) * 10 AS INT) AS birth_decade, COUNT(*) AS n\nFROM person\nGROUP BY birth_decade\nORDER BY birth_decade";
const YEARS =
  "SELECT year_of_birth AS year, COUNT(*) AS n\nFROM person\nWHERE year_of_birth >= 2000\nGROUP BY year\nORDER BY year";
const RATIOS =
  "SELECT drug_concept_id AS drug, COUNT(*) AS n, AVG(drug_concept_id) AS odds_ratio, AVG(drug_concept_id) AS lower, AVG(drug_concept_id) AS upper\nFROM drug_exposure\nGROUP BY drug\nORDER BY drug";

interface Before {
  days: number;
  sql: string;
  study: string;
  analyst: string;
  code: string | null;
}

const BEFORE: Before[] = [
  { days: 24.2, sql: COUNT, study: "bleeding", analyst: "lin", code: null },
  { days: 21.7, sql: DECADES, study: "bleeding", analyst: "lin", code: null },
  { days: 17.1, sql: CONDITIONS, study: "bleeding", analyst: "ana", code: null },
  { days: 12.4, sql: YEARS, study: "bleeding", analyst: "lin", code: null },
  { days: 9.3, sql: COUNT.replace("192671", "4266809"), study: "bleeding", analyst: "ana", code: "RELEASE_TOO_CLOSE" },
  { days: 4.6, sql: RATIOS, study: "analgesics", analyst: "lin", code: null },
  { days: 1.2, sql: CONDITIONS, study: "bleeding", analyst: "lin", code: null },
];

export function past(world: World): void {
  const now = Date.now();
  for (const here of Object.values(world.sites)) {
    const key = digest("key", here.name);
    write(here, now - 30 * DAY_MS, "started", { key, version: "0.6.0" });
    write(here, now - 30 * DAY_MS + 20, "policy", {
      policy: digest("policy", here.name, JSON.stringify(POLICIES[here.name])),
    });
  }
  BEFORE.forEach((before, i) => happened(world, before, i, now));
  for (const name of SITES) waits(world, name, now);
}

function happened(world: World, { days, sql, study, analyst, code }: Before, i: number, now: number): void {
  const request: Submission = { sql, study, audience: "analyst", noise: null, now_ms: null, plan: "" };
  const plan = planOf(request, analyst, "en", "hospital_A");
  const at_ms = Math.round(now - days * DAY_MS);
  const id = digest("release", String(i)).slice(0, 32);
  const all = Object.values(world.sites);
  for (const here of all) {
    const by = { hospital_A: "ada", hospital_B: "bo", hospital_C: "chen" }[here.name]!;
    write(here, at_ms - 9_000_000, "waiting", { plan: plan.digest, analyst });
    write(here, at_ms - 1_000_000, "approved", { plan: plan.digest, by });
    const decision = { state: "approved" as const, until_ms: at_ms + 30 * DAY_MS };
    if (!here.decided.some((of) => of.plan === plan.digest))
      here.decided.unshift({ plan: plan.digest, study, analyst, query: sql, at_ms: at_ms - 1_000_000, by, decision });
    release(
      here,
      all.filter((of) => of !== here),
      { id, study, analyst, query: sql, plan: plan.digest, at_ms, code, bytes: plan.cost.bytes_per_site },
    );
  }
  world.jobs.unshift({ ...job(id, request, plan, at_ms, code), analyst, home: "hospital_A" });
}

function job(
  id: string,
  request: Submission,
  plan: ReturnType<typeof planOf>,
  at_ms: number,
  code: string | null,
): Job {
  const { sql, study, audience, noise } = request;
  const state = code ? ("failed" as const) : ("done" as const);
  return {
    id,
    revision: 1,
    study,
    study_digest: STUDIES.find(({ name }) => name === study)!.digest,
    network: NETWORK,
    sql,
    audience,
    noise,
    now_ms: 0,
    plan: plan.digest,
    disclosure: plan.disclosure,
    planner: plan.planner,
    submitted_ms: at_ms - 9_000_000,
    ended_ms: at_ms + 4200,
    state,
    sites: SITES.map((site) => ({
      site,
      state,
      since_ms: at_ms + 4200,
      waits_for: null,
      step: null,
      bytes: plan.cost.bytes_per_site,
      refusal: null,
    })),
    refusal: code
      ? {
          code,
          message:
            "an earlier answer of this study is about almost the same patients: the two would differ by fewer than 11",
          hint: "ask for all figures of one group of patients in one question; this refusal is logged at every site",
        }
      : null,
    forecast: plan.cost,
    cost: code ? null : { rounds: plan.cost.rounds, bytes: 3 * plan.cost.bytes_per_site, wall_ms: 4210, parties: 3 },
    rows: code ? null : 6,
    kept_until_ms: code ? null : at_ms + 30 * DAY_MS,
  };
}

/** A plan of a colleague that waits at every site. */
function waits(world: World, name: string, now: number): void {
  const sql =
    "SELECT gender_concept_id, COUNT(DISTINCT person_id) AS patients, AVG(2019 - year_of_birth) AS mean_age\nFROM person\nWHERE year_of_birth BETWEEN 1930 AND 1960\nGROUP BY gender_concept_id";
  const plan = planOf({ sql, study: "bleeding", audience: "analyst", noise: null, now_ms: null }, "ana", "en", "hospital_B");
  const here = world.sites[name]!;
  here.waiting.push({
    plan: plan.digest,
    study: "bleeding",
    analyst: "ana",
    since_ms: now - 5.4 * 3_600_000,
    query: sql,
    consents: [],
  });
  write(here, now - 5.4 * 3_600_000, "waiting", { plan: plan.digest, analyst: "ana" });
}
