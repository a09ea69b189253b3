// `npm run mock [first port]`: the consoles of three hospitals on loopback, without a node behind them.

import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { ACCOUNTS, SITES } from "./network";
import { serve, tell } from "./server";
import { makeWorld } from "./world";

const first = Number(process.argv[2] ?? 7801);
const made = makeWorld(tell);
for (const [i, site] of SITES.entries()) {
  // Port 0 takes a free one, for tests.
  const server = serve(site, made, "dist").listen(first === 0 ? 0 : first + i, "127.0.0.1");
  await once(server, "listening");
  const tokens = ACCOUNTS.filter((of) => of.site === site).map((of) => of.token);
  console.log(`${site} http://127.0.0.1:${(server.address() as AddressInfo).port}/ tokens: ${tokens.join(", ")}`);
}
