// Three sites that decide and compute in one process, as slowly as a reader can follow.

import type { Decided, Events, Job, Plan, SiteState, Submission } from "../src/api";
import { digest, NETWORK, POLICIES, SITES, STUDIES } from "./network";
import { refuse } from "./parse";
import { planOf } from "./planner";
import { past } from "./past";
import { release, site, write } from "./site";
import type { Site } from "./site";

export type Tell = <K extends keyof Events>(to: { site: string; analyst?: string }, name: K, data: Events[K]) => void;

export interface World {
  sites: Record<string, Site>;
  jobs: (Job & { analyst: string; home: string })[];
}

const DAY_MS = 86_400_000;
const TICK_MS = 150;

export function makeWorld(tell: Tell) {
  const world: World = { sites: Object.fromEntries(SITES.map((name) => [name, site(name)])), jobs: [] };
  past(world);
  const plans = new Map<string, Plan>();
  const jobChanged = (job: World["jobs"][number]) => {
    job.revision += 1;
    tell({ site: job.home, analyst: job.analyst }, "job", shown(job));
  };
  const inboxChanged = (name: string) => tell({ site: name }, "inbox", { waiting: world.sites[name]!.waiting.length });

  function submit(of: Submission, analyst: string, home: string): Job {
    const plan = planOf(of, analyst, "en", home);
    if (plan.digest !== of.plan) refuse(409, "PLAN_DIFFERS", "the plan is not the one that was shown");
    const refused = plan.asks.find((ask) => ask.refusal);
    if (refused?.refusal) refuse(422, refused.refusal.code, refused.refusal.message);
    plans.set(plan.digest, plan);
    const job = newJob(of, plan, analyst, home);
    world.jobs.unshift(job);
    setTimeout(() => SITES.forEach((name) => decide(job, plan, name)), 2 * TICK_MS);
    return shown(job);
  }

  /** What a site does with a question that comes to it: by an earlier decision, by rule, or it waits. */
  function decide(job: World["jobs"][number], plan: Plan, name: string): void {
    const [at, here] = [stateAt(job, name), world.sites[name]!];
    const earlier = here.decided.find((of) => of.plan === plan.digest);
    const rules = POLICIES[name]!.approve ?? [];
    if (earlier?.decision.state === "rejected") rejected(job, name, earlier.decision.reason);
    else if (earlier || rules.some((rule) => plan.classes.every((kind) => rule.classes.includes(kind))))
      set(at, "approved");
    else {
      set(at, "waiting");
      at.waits_for = { plan: plan.digest.slice(0, 12), needs: 1, consents: [] };
      if (!here.waiting.some((of) => of.plan === plan.digest)) {
        here.waiting.push({
          plan: plan.digest,
          study: plan.study,
          analyst: plan.analyst,
          since_ms: Date.now(),
          query: job.sql,
          consents: [],
        });
        write(here, Date.now(), "waiting", { plan: plan.digest, analyst: plan.analyst });
      }
      inboxChanged(name);
    }
    settle(job);
  }

  function settle(job: World["jobs"][number]): void {
    if (job.state === "waiting" && job.sites.every((of) => of.state === "approved")) run(job);
    jobChanged(job);
  }

  function rejected(job: World["jobs"][number], name: string, reason: string): void {
    const at = stateAt(job, name);
    set(at, "rejected");
    at.refusal = { code: "REJECTED", message: `rejected by a steward: ${reason}` };
    job.state = "failed";
    job.ended_ms = Date.now();
    job.refusal = { code: "REJECTED", message: `${name}: rejected: ${reason}` };
  }

  function decided(name: string, digestOf: string, by: string, decision: Decided["decision"]): void {
    const here = world.sites[name]!;
    const found =
      here.waiting.find((of) => of.plan === digestOf) ??
      refuse(404, "NO_SUCH_PLAN", "this plan no longer waits for a decision");
    here.waiting = here.waiting.filter((of) => of !== found);
    here.decided.unshift({
      plan: found.plan,
      study: found.study,
      analyst: found.analyst,
      query: found.query,
      at_ms: Date.now(),
      by,
      decision,
    });
    write(here, Date.now(), decision.state, {
      plan: found.plan,
      by,
      ...(decision.state === "rejected" ? { reason: decision.reason } : {}),
    });
    inboxChanged(name);
    for (const job of world.jobs.filter((of) => of.plan === digestOf && of.state === "waiting")) {
      if (decision.state === "rejected") rejected(job, name, decision.reason);
      else set(stateAt(job, name), "approved");
      settle(job);
    }
  }

  function run(job: World["jobs"][number]): void {
    job.state = "running";
    job.sites.forEach((of) => set(of, "running"));
    const rounds = job.forecast.rounds;
    let round = 0;
    const timer = setInterval(() => {
      if (job.state !== "running") return clearInterval(timer);
      round += Math.max(1, Math.round(rounds / 16));
      for (const of of job.sites) {
        of.step = {
          path: PATHS[Math.min(Math.floor((round / rounds) * PATHS.length), PATHS.length - 1)]!,
          round: Math.min(round, rounds),
          rounds,
        };
        of.bytes = Math.round((job.forecast.bytes_per_site * Math.min(round, rounds)) / rounds);
      }
      if (round >= rounds) {
        clearInterval(timer);
        finish(job);
      }
      jobChanged(job);
    }, TICK_MS);
  }

  function finish(job: World["jobs"][number]): void {
    job.state = "done";
    job.ended_ms = Date.now();
    job.sites.forEach((of) => (set(of, "done"), (of.step = null)));
    job.cost = { rounds: job.forecast.rounds, bytes: 3 * job.forecast.bytes_per_site, wall_ms: 2600, parties: 3 };
    job.rows = 1;
    job.kept_until_ms = Date.now() + 30 * DAY_MS;
    const one = {
      id: job.id,
      study: job.study,
      analyst: job.analyst,
      query: job.sql,
      plan: job.plan,
      at_ms: Date.now(),
      code: null,
      bytes: job.forecast.bytes_per_site,
    };
    for (const here of Object.values(world.sites))
      release(
        here,
        Object.values(world.sites).filter((of) => of !== here),
        one,
      );
  }

  function cancel(job: World["jobs"][number]): Job {
    Object.assign(job, { state: "cancelled", ended_ms: Date.now() });
    jobChanged(job);
    return shown(job);
  }

  function withdraw(name: string, digestOf: string, by: string): { begun: boolean } {
    const here = world.sites[name]!;
    if (!here.decided.some((of) => of.plan === digestOf))
      refuse(404, "NO_SUCH_PLAN", "nothing was decided about this plan");
    here.decided = here.decided.filter((of) => of.plan !== digestOf);
    write(here, Date.now(), "withdrawn", { plan: digestOf, by });
    return { begun: here.releases.some((of) => here.trails.get(of.id)?.plan === digestOf) };
  }

  return { world, submit, decided, cancel, withdraw, planOf: (id: string) => plans.get(id) };
}

const PATHS = [
  "/query#0/preprocessing#0/ot#0",
  "/query#0/preprocessing#0/bit triples#0",
  "/query#0/keys#0",
  "/query#0/open#0/compare#0",
  "/query#0/reveal#0",
];

function newJob(of: Submission, plan: Plan, analyst: string, home: string): World["jobs"][number] {
  const now = Date.now();
  const states: SiteState[] = SITES.map((name) => ({
    site: name,
    state: "asked",
    since_ms: now,
    waits_for: null,
    step: null,
    bytes: 0,
    refusal: null,
  }));
  return {
    id: digest("job", String(now), plan.digest).slice(0, 32),
    revision: 0,
    study: of.study,
    study_digest: STUDIES.find(({ name }) => name === of.study)?.digest ?? "",
    network: NETWORK,
    sql: of.sql,
    audience: of.audience,
    noise: of.noise,
    now_ms: of.now_ms ?? 0,
    plan: plan.digest,
    disclosure: plan.disclosure,
    planner: plan.planner,
    submitted_ms: now,
    ended_ms: null,
    state: "waiting",
    sites: states,
    refusal: null,
    forecast: plan.cost,
    cost: null,
    rows: null,
    kept_until_ms: null,
    analyst,
    home,
  };
}

function stateAt(job: Job, name: string): SiteState {
  return job.sites.find((of) => of.site === name)!;
}

function set(of: SiteState, state: SiteState["state"]): void {
  Object.assign(of, { state, since_ms: Date.now(), waits_for: null });
}

export function shown({ analyst: _, home: __, ...job }: World["jobs"][number]): Job {
  return job;
}
