import type { DryRun, Gauges, Language, Me, Part, Peer, PlanRequest, Review, Submission } from "../src/api";
import { answerOf } from "./answers";
import { CATALOG, digest, NETWORK, POLICIES, SITES, STUDIES } from "./network";
import type { ACCOUNTS } from "./network";
import { refuse } from "./parse";
import { planOf } from "./planner";
import { head } from "./site";
import { shown } from "./world";
import type { makeWorld } from "./world";

/** One request of somebody who is logged in. */
export interface Request {
  account: (typeof ACCOUNTS)[number];
  csrf: string;
  language: Language;
  from: number;
  study: string | null;
  body: Record<string, unknown>;
}

type Made = ReturnType<typeof makeWorld>;
type Handle = (made: Made, request: Request, id: string) => unknown;

const DAY_MS = 86_400_000;
const PAGE = 25;

function part<T>(items: T[], from: number): Part<T> {
  return { items: items.slice(from, from + PAGE), next: from + PAGE < items.length ? from + PAGE : null };
}

const here = (made: Made, { account }: Request) => made.world.sites[account.site]!;

function jobOf(made: Made, { account }: Request, id: string) {
  return (
    made.world.jobs.find((job) => job.id === id && (job.analyst === account.name || account.name === "ada")) ??
    refuse(404, "NO_SUCH_JOB", "there is no job of this id")
  );
}

/** By method and path; `*` stands for one part, which is given to the function. */
export const ROUTES: Record<string, [role: "steward" | "analyst" | null, handle: Handle]> = {
  "GET /api/me": [
    null,
    (_, { account, csrf }): Me => ({
      site: account.site,
      name: account.name,
      roles: [...account.roles],
      csrf,
      version: "0.6.0",
      network: NETWORK,
      sites: SITES,
      studies: STUDIES,
    }),
  ],
  "GET /api/catalog": ["analyst", () => CATALOG],
  "POST /api/plan": [
    "analyst",
    (_, { account, body, language }) => planOf(body as unknown as PlanRequest, account.name, language, account.site),
  ],
  "POST /api/jobs": [
    "analyst",
    (made, { account, body }) => made.submit(body as unknown as Submission, account.name, account.site),
  ],
  "GET /api/jobs": [
    "analyst",
    (made, { account, from }) =>
      part(made.world.jobs.filter((job) => job.analyst === account.name || account.name === "ada").map(shown), from),
  ],
  "GET /api/jobs/*": ["analyst", (made, request, id) => shown(jobOf(made, request, id))],
  "POST /api/jobs/*/cancel": ["analyst", (made, request, id) => made.cancel(jobOf(made, request, id))],
  "GET /api/jobs/*/answer": [
    "analyst",
    (made, request, id) => {
      const job = jobOf(made, request, id);
      return job.state === "done"
        ? answerOf(job.sql, request.language)
        : refuse(409, "NO_ANSWER", "the answer is not there yet");
    },
  ],
  "GET /api/inbox": ["steward", (made, request) => part(here(made, request).waiting, request.from)],
  "GET /api/inbox/*": ["steward", review],
  "POST /api/inbox/*/dry-run": [
    "steward",
    (_, { account }, id): DryRun => ({
      plan: id,
      refused: null,
      sums: [{ rows: 21_175 + account.site.charCodeAt(9), groups: null, patients: 1348, excluded: 3 }],
    }),
  ],
  "POST /api/inbox/*/approve": ["steward", approve],
  "POST /api/inbox/*/reject": [
    "steward",
    (made, { account, body }, id) => {
      const reason = String(body["reason"]).trim();
      if (reason === "") refuse(422, "BAD_REASON", "a reason is one line of 1 to 500 characters; the analyst is told");
      made.decided(account.site, id, String(body["note"]), { state: "rejected", reason });
    },
  ],
  "GET /api/decided": ["steward", (made, request) => part(here(made, request).decided, request.from)],
  "POST /api/decided/*/withdraw": [
    "steward",
    (made, { account, body }, id) => made.withdraw(account.site, id, String(body["note"])),
  ],
  "GET /api/releases": [
    "steward",
    (made, request) =>
      part(
        here(made, request).releases.filter((of) => request.study === null || of.study === request.study),
        request.from,
      ),
  ],
  "GET /api/releases/*": [
    "steward",
    (made, request, id) =>
      here(made, request).trails.get(id) ?? refuse(404, "NO_SUCH_RELEASE", "there is no release of this id"),
  ],
  "GET /api/policy": [
    "steward",
    (_, { account }) => ({ digest: digest("policy", account.site), published: true, policy: POLICIES[account.site] }),
  ],
  "GET /api/gauges": ["steward", gauges],
  "GET /api/peers": ["steward", (_, { account }) => peers(account.site, 41_000)],
  "POST /api/peers/check": ["steward", (_, { account }) => peers(account.site, 0)],
  "GET /api/log": ["steward", (made, request) => part([...here(made, request).log].reverse(), request.from)],
  "POST /api/log/verify": [
    "steward",
    (made, request) => {
      const { log, name } = here(made, request);
      return {
        lines: log.length,
        hash: head(here(made, request)).hash,
        times_ms: [log[0]!.at_ms, log.at(-1)!.at_ms],
        keys: [digest("key", name)],
      };
    },
  ],
};

function review(made: Made, request: Request, id: string): Review {
  const { language } = request;
  const waiting =
    here(made, request).waiting.find((of) => of.plan === id) ??
    refuse(404, "NO_SUCH_PLAN", "this plan no longer waits for a decision", { hint: "see `consilium inbox`" });
  const plan = planOf(
    { sql: waiting.query, study: waiting.study, audience: "analyst", noise: null, now_ms: null },
    waiting.analyst,
    language,
    "hospital_A",
  );
  return {
    plan,
    sql: waiting.query,
    study: STUDIES.find(({ name }) => name === waiting.study)!,
    analyst_pin: digest("key", waiting.analyst),
    since_ms: waiting.since_ms,
    consents: waiting.consents,
    needs: 1,
    own_keys: false,
    refusal: null,
    releases_before: here(made, request).releases.filter((of) => of.study === waiting.study).length,
  };
}

function approve(made: Made, { account, body }: Request, id: string): { until_ms: number } {
  const [days, note] = [Number(body["days"]), String(body["note"]).trim()];
  if (!(days >= 1 && days <= 366)) refuse(422, "BAD_DAYS", "an approval lasts 1 to 366 days");
  if (note === "") refuse(422, "BAD_NAME", "who decides is named in 1 to 64 characters");
  const until_ms = Date.now() + days * DAY_MS;
  made.decided(account.site, id, note, { state: "approved", until_ms });
  return { until_ms };
}

function gauges(made: Made, request: Request): Gauges {
  const { releases, refusals, privacy } = POLICIES[request.account.site]!;
  const all = here(made, request).releases;
  const used = all.filter((of) => of.at_ms > Date.now() - 30 * DAY_MS).length;
  const limit = privacy ? Number(privacy.epsilon) * 1e6 : 0;
  return {
    releases: releases ? { ...releases, used } : null,
    refusals: refusals ? { ...refusals, used: 2 } : null,
    privacy: privacy
      ? [
          {
            study: "bleeding",
            epsilon: { limit, spent: 1_500_000 },
            delta: { spent: "2·10^-6", limit: "10^-5", part: 200 },
          },
          { study: "analgesics", epsilon: { limit, spent: 3_750_000 }, delta: null },
        ]
      : [],
    opted_out: POLICIES[request.account.site]!.opt_out ? { patients: 35, rows: 412, unknown: 2 } : null,
  };
}

function peers(own: string, agoMs: number): Peer[] {
  const now = Date.now();
  const well = (site: string, i: number): Peer => ({
    site,
    address: `${site.replace("_", "-").toLowerCase()}.example:7443`,
    state: "well",
    refusal: null,
    asked_ms: now - agoMs,
    answered_ms: now - agoMs,
    round_trip_ms: 11 + 7 * i,
    clock_ms: i === 1 ? -2300 : 40,
    version: "0.6.0",
    same_network: true,
    pin: digest("pin", site),
  });
  const silent: Peer["refusal"] = {
    code: "SITE_LOST",
    message: "no answer on UDP 7443 within 2 s",
    hint: "is the port open in both directions?",
  };
  const others = SITES.filter((site) => site !== own).map(well);
  return own === "hospital_B"
    ? others.map((peer, i) =>
        i === 1
          ? {
              ...peer,
              state: "silent",
              refusal: silent,
              answered_ms: now - 7_200_000,
              round_trip_ms: null,
              clock_ms: null,
            }
          : peer,
      )
    : others;
}
