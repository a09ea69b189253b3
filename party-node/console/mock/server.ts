// HTTP of the mock: the rules of src/api.ts, one server for each site.

import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { extname, join } from "node:path";
import type { Language } from "../src/api";
import { ACCOUNTS } from "./network";
import { Refuse, refuse } from "./parse";
import { ROUTES } from "./routes";
import { shown } from "./world";
import type { makeWorld, Tell } from "./world";

type Made = ReturnType<typeof makeWorld>;
interface Session {
  account: (typeof ACCOUNTS)[number];
  csrf: string;
}
interface Listener {
  session: Session;
  reply: ServerResponse;
}

const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
};
const listeners = new Set<Listener>();

/** Sends an event to whoever it is for. */
export const tell: Tell = (to, name, data) => {
  for (const { session, reply } of listeners) {
    const { site, roles } = session.account;
    const wanted = name === "job" ? roles.some((role) => role === "analyst") : roles.some((role) => role === "steward");
    if (site === to.site && wanted) reply.write(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
  }
};

export function serve(site: string, made: Made, dist: string): Server {
  const sessions = new Map<string, Session>();
  const answer = async (request: IncomingMessage, reply: ServerResponse) => {
    const url = new URL(request.url ?? "/", "http://localhost");
    reply.setHeader(
      "Content-Security-Policy",
      "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    );
    reply.setHeader("X-Content-Type-Options", "nosniff");
    if (!url.pathname.startsWith("/api/")) return file(dist, url.pathname, reply);
    reply.setHeader("Cache-Control", "no-store");
    const body = JSON.parse((await text(request)) || "{}") as Record<string, unknown>;
    if (request.method === "POST" && url.pathname === "/api/login") return login(site, sessions, body, reply);
    const cookie = /consilium=(\w+)/.exec(request.headers.cookie ?? "")?.[1] ?? "";
    const session = sessions.get(cookie) ?? refuse(401, "NOT_LOGGED_IN", "nobody is logged in");
    if (request.method === "POST" && request.headers["x-consilium-csrf"] !== session.csrf)
      refuse(403, "WRONG_CSRF", "the header X-Consilium-CSRF is missing or old");
    if (url.pathname === "/api/logout") return (sessions.delete(cookie), void reply.writeHead(204).end());
    if (url.pathname === "/api/events") return events(made, session, reply);
    if (url.pathname === "/api/log/export") return exported(made, site, reply);
    const { handle, id } = route(request.method ?? "", url.pathname, session);
    const language: Language = request.headers["accept-language"] === "zh" ? "zh" : "en";
    const found = handle(
      made,
      {
        ...session,
        language,
        from: Number(url.searchParams.get("from") ?? 0),
        study: url.searchParams.get("study"),
        body,
      },
      id,
    );
    if (found === undefined) return void reply.writeHead(204).end();
    reply.setHeader("Content-Type", "application/json");
    reply.end(JSON.stringify(found));
  };
  return createServer(
    (request, reply) =>
      void answer(request, reply).catch((error: unknown) => {
        const refused = error instanceof Refuse ? error : new Refuse(500, { code: "INTERNAL", message: String(error) });
        reply.writeHead(refused.status, { "Content-Type": "application/json" }).end(JSON.stringify(refused.refusal));
      }),
  );
}

function route(method: string, path: string, { account }: Session) {
  for (const [pattern, [role, handle]] of Object.entries(ROUTES)) {
    const found = new RegExp(`^${pattern.replace("*", "(\\w+)")}$`).exec(`${method} ${path}`);
    if (!found) continue;
    if (role !== null && !account.roles.some((own) => own === role))
      refuse(403, "NOT_YOURS", "this account may not do this");
    return { handle, id: found[1] ?? "" };
  }
  return refuse(404, "NO_SUCH_PATH", "there is nothing here");
}

function login(
  site: string,
  sessions: Map<string, Session>,
  body: Record<string, unknown>,
  reply: ServerResponse,
): void {
  const account =
    ACCOUNTS.find((of) => of.token === body["token"] && of.site === site) ??
    refuse(401, "WRONG_TOKEN", "this is no token of this site");
  const cookie = randomBytes(16).toString("hex");
  sessions.set(cookie, { account, csrf: randomBytes(16).toString("hex") });
  reply.writeHead(204, { "Set-Cookie": `consilium=${cookie}; HttpOnly; SameSite=Strict; Path=/` }).end();
}

function events(made: Made, session: Session, reply: ServerResponse): void {
  const listener = { session, reply };
  listeners.add(listener);
  reply.writeHead(200, { "Content-Type": "text/event-stream" });
  reply.on("close", () => listeners.delete(listener));
  const { site, roles } = session.account;
  if (roles.some((role) => role === "steward"))
    reply.write(`event: inbox\ndata: ${JSON.stringify({ waiting: made.world.sites[site]!.waiting.length })}\n\n`);
  const open = made.world.jobs.filter(
    (job) => job.home === site && ["waiting", "queued", "running"].includes(job.state),
  );
  if (roles.some((role) => role === "analyst"))
    open.forEach((job) => reply.write(`event: job\ndata: ${JSON.stringify(shown(job))}\n\n`));
}

function exported(made: Made, site: string, reply: ServerResponse): void {
  reply.writeHead(200, {
    "Content-Type": "application/x-ndjson",
    "Content-Disposition": `attachment; filename="${site}.log.jsonl"`,
  });
  reply.end(made.world.sites[site]!.log.map((line) => `${JSON.stringify(line)}\n`).join(""));
}

async function file(dist: string, path: string, reply: ServerResponse): Promise<void> {
  const name = path === "/" ? "index.html" : path.slice(1);
  if (!/^[a-z]+\.[a-z]+$/.test(name)) refuse(404, "NO_SUCH_PATH", "there is nothing here");
  const bytes = await readFile(join(dist, name)).catch(() => refuse(404, "NO_SUCH_PATH", "there is nothing here"));
  reply
    .writeHead(200, { "Content-Type": TYPES[extname(name)] ?? "application/octet-stream", "Cache-Control": "no-cache" })
    .end(bytes);
}

async function text(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}
