import type { Language, Refusal } from "./common";

/** A refusal of the node, or what kept it from answering (`NODE_SILENT`, `NOT_JSON`). */
export class Refused extends Error {
  constructor(
    readonly refusal: Refusal,
    readonly status: number,
  ) {
    super(refusal.message);
  }
}

/** What every request carries. Set at login and when the reader chooses a language. */
export const sending: { csrf: string; language: Language } = { csrf: "", language: "en" };

export function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return ask<T>("GET", path, undefined, signal);
}

export function post<T>(path: string, body: unknown = {}, signal?: AbortSignal): Promise<T> {
  return ask<T>("POST", path, body, signal);
}

/** A path with a query; what is null is left out. */
export function path(base: string, query: Record<string, string | number | null>): string {
  const given = Object.entries(query).filter(([, value]) => value !== null);
  const text = new URLSearchParams(given.map(([key, value]) => [key, String(value)])).toString();
  return text === "" ? base : `${base}?${text}`;
}

/** Told to the window when the node no longer knows the session: the login page follows, wherever the reader was. */
export const LOGGED_OUT = "consilium-logged-out";

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

async function ask<T>(method: string, path: string, body: unknown, signal: AbortSignal | undefined): Promise<T> {
  const headers: Record<string, string> = { Accept: "application/json", "Accept-Language": sending.language };
  if (method !== "GET") {
    headers["Content-Type"] = "application/json";
    headers["X-Consilium-CSRF"] = sending.csrf;
  }
  const init: RequestInit = { method, headers, credentials: "same-origin", cache: "no-store", redirect: "error" };
  if (body !== undefined) init.body = JSON.stringify(body);
  if (signal) init.signal = signal;
  const reply = await fetch(path, init).catch((error: unknown) => {
    if (isAbort(error)) throw error;
    throw new Refused({ code: "NODE_SILENT", message: "the node does not answer" }, 0);
  });
  const text = await reply.text();
  if (reply.status === 401) dispatchEvent(new Event(LOGGED_OUT));
  if (reply.ok) return (text === "" ? null : parsed(text, reply.status)) as T;
  throw new Refused(refusalOf(text, reply.status), reply.status);
}

function parsed(text: string, status: number): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Refused({ code: "NOT_JSON", message: "the node answered something else than JSON" }, status);
  }
}

function refusalOf(text: string, status: number): Refusal {
  const found = parsed(text, status) as Partial<Refusal> | null;
  if (typeof found?.code === "string" && typeof found.message === "string") return found as Refusal;
  return { code: "NOT_JSON", message: `the node answered with status ${status}` };
}
