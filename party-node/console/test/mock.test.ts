import assert from "node:assert/strict";
import { once } from "node:events";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { serve, tell } from "../mock/server";
import { makeWorld } from "../mock/world";

let server: Server;
let base: string;

before(async () => {
  server = serve("hospital_A", makeWorld(tell), "dist").listen(0, "127.0.0.1");
  await once(server, "listening");
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(() => server.close());

async function login(token: string): Promise<{ status: number; headers: Record<string, string> }> {
  const reply = await fetch(`${base}/api/login`, { method: "POST", body: JSON.stringify({ token }) });
  const cookie = reply.headers.get("set-cookie") ?? "";
  if (!reply.ok) return { status: reply.status, headers: {} };
  assert.match(cookie, /HttpOnly; SameSite=Strict/);
  const me = await fetch(`${base}/api/me`, { headers: { cookie } }).then(
    (found) => found.json() as Promise<{ csrf: string }>,
  );
  return { status: reply.status, headers: { cookie: cookie, "x-consilium-csrf": me.csrf } };
}

const code = async (reply: Response) => ((await reply.json()) as { code: string }).code;

test("the console's files come under a policy that allows nothing from elsewhere and nothing inline", async () => {
  const reply = await fetch(base);
  assert.match(reply.headers.get("content-security-policy") ?? "", /default-src 'self'/);
  const page = await reply.text();
  assert.doesNotMatch(page, /<style|style=|<script>|https?:\/\//);
});

test("without a session every path answers NOT_LOGGED_IN, and a token of another site is wrong", async () => {
  for (const path of ["/api/me", "/api/inbox", "/api/events"])
    assert.equal(await code(await fetch(base + path)), "NOT_LOGGED_IN");
  assert.equal((await login("steward-B")).status, 401);
});

test("a change without the CSRF header is refused", async () => {
  const { headers } = await login("steward-A");
  const reply = await fetch(`${base}/api/log/verify`, { method: "POST", headers: { cookie: headers["cookie"]! } });
  assert.deepEqual([reply.status, await code(reply)], [403, "WRONG_CSRF"]);
});

test("a steward does not ask and an analyst does not decide", async () => {
  const [steward, analyst] = [await login("steward-A"), await login("analyst-A")];
  assert.equal(await code(await fetch(`${base}/api/catalog`, { headers: steward.headers })), "NOT_YOURS");
  assert.equal(await code(await fetch(`${base}/api/inbox`, { headers: analyst.headers })), "NOT_YOURS");
});

test("a name that does not exist is refused at its place", async () => {
  const { headers } = await login("analyst-A");
  const body = JSON.stringify({
    sql: "SELECT COUNT(*) AS n\nFROM persons",
    study: "bleeding",
    audience: "analyst",
    noise: null,
    now_ms: null,
  });
  const reply = await fetch(`${base}/api/plan`, { method: "POST", headers, body });
  const refusal = (await reply.json()) as { code: string; place: object };
  assert.deepEqual([refusal.code, refusal.place], ["UNKNOWN_TABLE", { line: 2, column: 6 }]);
});
