// Three hospitals as three processes of the node, over the bundled data, with a console each.

import { spawn, spawnSync } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { createSocket } from "node:dgram";
import type { Socket } from "node:dgram";
import { once } from "node:events";
import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { Server } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

/** The node's program. */
export const CONSILIUM = process.env["CONSILIUM"];

export const SITES = ["hospital_A", "hospital_B", "hospital_C"] as const;
export type Site = (typeof SITES)[number];
const DATA = resolve("../../examples/data/omop");

/** What the network agreed on, where a walk says nothing else. */
export const SETTINGS = `patient_key = "person_id"
min_patients = 11

[tables.person.columns.gender_concept_id]
domain = [8507, 8532]
`;
/** What a site allows; stewards decide. */
export const POLICY = `classes = ["count", "sum", "table", "matching"]
[columns.person]
person_id = ["link"]
gender_concept_id = ["filter", "group"]
year_of_birth = ["filter", "group", "sum"]
[columns.condition_occurrence]
person_id = ["link"]
condition_concept_id = ["filter", "group"]
[releases]
most = 25
days = 30
`;
/** The same, and nobody has to decide. */
export const BY_RULE = `${POLICY}[[approve]]
classes = ["count", "sum", "table", "matching"]
`;
const STUDY = `name = "bleeding"
purpose = "how often gastrointestinal bleeding is recorded at three hospitals, by sex and age"
legal_basis = "synthetic data: none is needed"
analysts = ["lin"]
sites = ["hospital_A", "hospital_B", "hospital_C"]
tables = ["person", "condition_occurrence"]
ends = "2036-12-31"
`;

export interface Nodes {
  /** Where each console is. */
  bases: Record<Site, string>;
  /** Each node's configuration. */
  configs: Record<Site, string>;
  stewards: Record<Site, string>;
  analyst: string;
  /** One more steward's token. */
  token: (site: Site, account: string) => string;
  /** Halts a node where it is, and lets it go on. */
  halt: (site: Site) => void;
  resume: (site: Site) => void;
  stop: () => Promise<void>;
}

/** What is otherwise than in most walks. */
interface Otherwise {
  policies?: Partial<Record<Site, string>>;
  settings?: string;
}

export async function start({ policies = {}, settings = SETTINGS }: Otherwise = {}): Promise<Nodes> {
  const folder = await mkdtemp(join(tmpdir(), "consilium-walk-"));
  const at = (...parts: string[]) => join(folder, ...parts);
  await writeFile(at("settings.toml"), settings);
  await writeFile(at("study.toml"), STUDY);
  const bases = {} as Record<Site, string>;
  for (const site of SITES) {
    const policy = at(`${site}.policy.toml`);
    await writeFile(policy, policies[site] ?? POLICY);
    const listen = `127.0.0.1:${await freePort()}`;
    const files = ["--settings", at("settings.toml"), "--policy", policy];
    run("init", "--dir", at(site), "--name", site, "--data", join(DATA, site), "--listen", listen, ...files);
    const port = await freePort();
    bases[site] = `http://127.0.0.1:${port}/`;
    const account = site === "hospital_A" ? `[[account]]\nname = "lin"\nkey = "../lin/private.key"\n` : "";
    const more = `studies = ["../study.toml"]\n[console]\nlisten = "127.0.0.1:${port}"\n${account}`;
    const made = await readFile(at(site, "node.toml"), "utf8");
    // A node that is halted for a look is not lost.
    await writeFile(at(site, "node.toml"), made.replace(/^step_timeout_ms = .*$/m, "step_timeout_ms = 120000") + more);
  }
  run("init", "--dir", at("lin"), "--name", "lin", "--analyst", "--at", "hospital_A");
  const publics = [...SITES, "lin"].map((name) => at(name, `${name}.public.toml`));
  run("enroll", "--out", at("network.toml"), "--settings", at("settings.toml"), ...publics);
  for (const site of SITES) await copyFile(at("network.toml"), at(site, "network.toml"));
  const configs = bySite((site) => at(site, "node.toml"));
  const tokenFor = (site: Site, role: string, account: string) =>
    run("console-token", "--config", configs[site], "--role", role, "--account", account).trim();
  const token = (site: Site, account: string) => tokenFor(site, "steward", account);
  const names = { hospital_A: "ada", hospital_B: "bo", hospital_C: "chen" };
  const stewards = bySite((site) => token(site, names[site]));
  const analyst = tokenFor("hospital_A", "analyst", "lin");
  const nodes = await Promise.all(SITES.map((site) => serving(configs[site])));
  const signal = (name: NodeJS.Signals) => (site: Site) => void nodes[SITES.indexOf(site)]!.kill(name);
  const [halt, resume] = [signal("SIGSTOP"), signal("SIGCONT")];
  const stop = async () => {
    // One that was halted would not hear that it is to end.
    SITES.forEach(resume);
    await Promise.all(nodes.map(ended));
    await rm(folder, { recursive: true, force: true });
  };
  return { bases, configs, stewards, analyst, token, halt, resume, stop };
}

function bySite<T>(of: (site: Site) => T): Record<Site, T> {
  return Object.fromEntries(SITES.map((site) => [site, of(site)])) as Record<Site, T>;
}

/** A command to its end; what it prints. */
export function run(...args: string[]): string {
  const ended = spawnSync(CONSILIUM ?? "", args, { encoding: "utf8" });
  if (ended.status !== 0) throw new Error(`${args.join(" ")}: ${ended.stderr}`);
  return ended.stdout;
}

/** A node that serves. */
async function serving(config: string): Promise<ChildProcess> {
  const node = spawn(CONSILIUM ?? "", ["node", "--config", config], { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  await new Promise<void>((served, failed) => {
    node.stderr.on("data", (chunk) => {
      said = (said + String(chunk)).slice(-10_000);
      if (said.includes("serving at")) served();
    });
    node.once("exit", () => failed(new Error(said)));
  });
  return node;
}

async function ended(node: ChildProcess): Promise<void> {
  if (node.exitCode !== null || node.signalCode !== null) return;
  const gone = once(node, "exit");
  node.kill("SIGTERM");
  await gone;
}

const [FIRST_PORT, PORTS] = [10_000, 20_000];
/** Walks that run at the same time begin at places of their own. */
let nextPort = (process.pid * 131) % PORTS;

/** A free port. It lies below those that connections get, so that none of a browser's many takes it before its node listens. */
async function freePort(): Promise<number> {
  for (let tries = 0; tries < PORTS; tries++) {
    const port = FIRST_PORT + (nextPort++ % PORTS);
    if ((await isFree(createSocket("udp4"), port)) && (await isFree(createServer(), port))) return port;
  }
  throw new Error("no port is free");
}

/** Can it be listened at? */
async function isFree(listener: Socket | Server, port: number): Promise<boolean> {
  const listening = once(listener, "listening").then(
    () => true,
    () => false,
  );
  if ("bind" in listener) listener.bind(port, "127.0.0.1");
  else listener.listen(port, "127.0.0.1");
  const free = await listening;
  if (free) {
    listener.close();
    await once(listener, "close");
  }
  return free;
}
