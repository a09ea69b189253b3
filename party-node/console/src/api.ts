/**
 * The contract between the console and its node. Types are in `api/`; this file has one function for each request.
 *
 * # Rules for every request
 * - The node serves the console's files at `/` and this interface under `/api/`, on loopback only, and refuses a `Host` or an
 *   `Origin` that is not its own (`WRONG_ORIGIN`, 403). Replies have `Content-Security-Policy: default-src 'self'`,
 *   `X-Content-Type-Options: nosniff`, `Cache-Control: no-store` (files of the console: `no-cache` with an ETag).
 * - Login sets the cookie `consilium_PORT` (browsers do not tell ports apart), `HttpOnly; SameSite=Strict; Path=/`. Without a valid one every path but `/api/login`
 *   answers 401 `NOT_LOGGED_IN`. A token of another site is `WRONG_TOKEN`, like any other wrong one, and costs a second.
 * - Every POST but login carries `X-Consilium-CSRF` from `/api/me`; else 403 `WRONG_CSRF`. Bodies are JSON and say so, at most 256 KiB.
 * - A path that needs a role the account does not have answers 403 `NOT_YOURS`.
 * - Sentences (disclosures, work, reasons) are in the language of `Accept-Language`, `en` or `zh`.
 * - A reply of status 400 or above is a `Refusal`. Status 200 has the JSON named here; 204 has none.
 * - Lists come in parts: `from` is 0 at first, then the `next` of the part before. Numbers beyond 2^53 do not occur but in
 *   answers, where all numbers are text.
 */

import type { Language, Me, Millis, Part } from "./api/common";
import { get, path, post, sending } from "./api/http";
import type { Answer, Job, Submission } from "./api/jobs";
import type { Catalog, Plan, PlanRequest } from "./api/plan";
import type * as S from "./api/steward";

export { isAbort, LOGGED_OUT, Refused } from "./api/http";
export type * from "./api/common";
export type * from "./api/jobs";
export type * from "./api/plan";
export type * from "./api/steward";

/** The language of sentences in replies from now on. */
export function speak(language: Language): void {
  sending.language = language;
}

/** `POST /api/login`: 204 and a cookie; 401 `WRONG_TOKEN`; 429 `TOO_MANY_TRIES`. Then who it is. */
export async function login(token: string): Promise<Me> {
  await post<null>("/api/login", { token });
  return me();
}

/** `POST /api/logout`: 204; the cookie is worth nothing any more. */
export async function logout(): Promise<void> {
  await post<null>("/api/logout");
  sending.csrf = "";
}

/** `GET /api/me`: who is logged in, with the CSRF token for changes. */
export async function me(): Promise<Me> {
  const found = await get<Me>("/api/me");
  sending.csrf = found.csrf;
  return found;
}

// Analysts.

/** `GET /api/catalog`. */
export function catalog(): Promise<Catalog> {
  return get("/api/catalog");
}

/**
 * `POST /api/plan`: derives the plan without asking any site; nothing is logged or charged. What the planner refuses comes as a
 * refusal (422), with `place` where the parser or the binder knows it. A site's published policy that refuses does not: the plan
 * comes, and `asks` says who would have to allow what. Called while the analyst types: what is given up before its turn is not planned.
 */
export function plan(request: PlanRequest, signal?: AbortSignal): Promise<Plan> {
  return post("/api/plan", request, signal);
}

/**
 * `POST /api/jobs`: submits a question; its job. From here on the node asks the sites, again whenever one of them has decided.
 * Refuses `PLAN_DIFFERS`, `STUDY_ENDED`, `TOO_MANY_JOBS`, and what `/api/plan` refuses, policies included.
 */
export function submit(submission: Submission): Promise<Job> {
  return post("/api/jobs", submission);
}

/** `GET /api/jobs?from=`: this analyst's jobs, the newest first. */
export function jobs(from = 0): Promise<Part<Job>> {
  return get(path("/api/jobs", { from }));
}

/** `GET /api/jobs/{id}`; 404 `NO_SUCH_JOB`. */
export function job(id: string): Promise<Job> {
  return get(`/api/jobs/${id}`);
}

/** `POST /api/jobs/{id}/cancel`: the job as it is then. One that has begun counts as a release all the same. */
export function cancel(id: string): Promise<Job> {
  return post(`/api/jobs/${id}/cancel`);
}

/** `GET /api/jobs/{id}/answer?from=`: a part of the answer, its disclosures with the first; 409 `NO_ANSWER` before it is there, 410 `ANSWER_GONE`. */
export function answer(id: string, from: number): Promise<Answer> {
  return get(path(`/api/jobs/${id}/answer`, { from }));
}

// Stewards.

/** `GET /api/inbox?from=`: plans that wait here, the oldest first. */
export function inbox(from = 0): Promise<Part<S.Waiting>> {
  return get(path("/api/inbox", { from }));
}

/** `GET /api/inbox/{plan}`: one of them with all that is needed to decide; 404 `NO_SUCH_PLAN`, 409 `PLAN_DIFFERS`. */
export function review(digest: string): Promise<S.Review> {
  return get(`/api/inbox/${digest}`);
}

/** `POST /api/inbox/{plan}/dry-run`: the site's own work, counted; up to minutes. Nothing leaves the site and nothing is charged. */
export function dryRun(digest: string): Promise<S.DryRun> {
  return post(`/api/inbox/${digest}/dry-run`);
}

/** `POST /api/inbox/{plan}/approve`: for 1 to 366 days, with a note of who decides (1 to 64 characters). `BAD_DAYS`, `BAD_NAME`,
 * `POLICY_CHANGED`, `STUDY_ENDED`, `NO_SUCH_PLAN`; `STEWARD_KEY_NEEDED` where `own_keys`. */
export function approve(digest: string, days: number, note: string): Promise<{ until_ms: Millis }> {
  return post(`/api/inbox/${digest}/approve`, { days, note });
}

/** `POST /api/inbox/{plan}/reject`: 204. The reason, one line of 1 to 500 characters, is told to the analyst. `BAD_REASON`. */
export function reject(digest: string, reason: string, note: string): Promise<null> {
  return post(`/api/inbox/${digest}/reject`, { reason, note });
}

/** `GET /api/decided?from=`: decisions that can be withdrawn, the newest first. */
export function decided(from = 0): Promise<Part<S.Decided>> {
  return get(path("/api/decided", { from }));
}

/** `POST /api/decided/{plan}/withdraw`: `begun` says that a run had begun before, so that its answer may be out. */
export function withdraw(digest: string, note: string): Promise<{ begun: boolean }> {
  return post(`/api/decided/${digest}/withdraw`, { note });
}

/** `GET /api/releases?study=&from=`: what came out, the newest first. */
export function releases(study: string | null, from = 0): Promise<Part<S.Release>> {
  return get(path("/api/releases", { study, from }));
}

/** `GET /api/releases/{id}`: what the log says of one: what was sent, step by step; 404 `NO_SUCH_RELEASE`. */
export function trail(id: string): Promise<S.Trail> {
  return get(`/api/releases/${id}`);
}

/** `GET /api/policy`. */
export function policy(): Promise<S.PolicyView> {
  return get("/api/policy");
}

/** `GET /api/gauges`. */
export function gauges(): Promise<S.Gauges> {
  return get("/api/gauges");
}

/** `GET /api/peers`: as last met; `POST /api/peers/check` dials all of them now, each for at most two seconds. */
export function peers(): Promise<S.Peer[]> {
  return get("/api/peers");
}

export function checkPeers(): Promise<S.Peer[]> {
  return post("/api/peers/check");
}

/** `GET /api/log?from=`: lines of the log, the newest first. */
export function log(from = 0): Promise<Part<S.LogLine>> {
  return get(path("/api/log", { from }));
}

/** `POST /api/log/verify`: reads every line of the log again; 409 `AUDIT_BROKEN` with the line, `LEDGER_ROLLED_BACK`. */
export function verifyLog(): Promise<S.Verified> {
  return post("/api/log/verify");
}

/** `GET /api/log/export`: the log for an auditor, closed by a signed line, as an attachment. */
export const LOG_EXPORT = "/api/log/export";

/** `GET /api/events`: server-sent events, see `Events`. A comment line every 15 s keeps the connection open. */
export const EVENTS = "/api/events";
