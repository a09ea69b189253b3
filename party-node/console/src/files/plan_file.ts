import type { Audience, Digest, Job, Millis, Noise } from "../api";

/** All that another run needs to be the same one. It holds no data and no answer. */
export interface PlanFile {
  consilium_plan: 1;
  sql: string;
  study: string;
  audience: Audience;
  noise: Noise | null;
  now_ms: Millis;
  /** What it was understood by, to say so where something has changed. */
  plan: Digest;
  disclosure: Digest;
  study_digest: Digest;
  network: Digest;
  planner: string;
}

export function planFile(job: Job): PlanFile {
  const { sql, study, audience, noise, now_ms, plan, disclosure, study_digest, network, planner } = job;
  return { consilium_plan: 1, sql, study, audience, noise, now_ms, plan, disclosure, study_digest, network, planner };
}

/** Reads a plan file; null for anything else. */
export function readPlanFile(text: string): PlanFile | null {
  try {
    const found = JSON.parse(text) as Partial<PlanFile> | null;
    const texts = [found?.sql, found?.study, found?.plan, found?.planner];
    const whole = texts.every((part) => typeof part === "string") && Number.isSafeInteger(found?.now_ms);
    const audience = found?.audience === "analyst" || found?.audience === "everyone";
    // Files of before there was noise have none.
    const noise = found?.noise ?? null;
    const known = found?.consilium_plan === 1 && whole && audience && (noise === null || isNoise(noise));
    return known ? ({ ...found, noise } as PlanFile) : null;
  } catch {
    return null;
  }
}

function isNoise({ epsilon, mechanism, delta_digits }: Partial<Noise>): boolean {
  const digits = delta_digits === null || Number.isSafeInteger(delta_digits);
  return typeof epsilon === "string" && (mechanism === "laplace" || mechanism === "gaussian") && digits;
}
