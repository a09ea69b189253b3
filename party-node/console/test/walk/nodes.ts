// Three hospitals as three processes of the node, over the bundled data, with a console each.

import { spawn, spawnSync } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { appendFile, copyFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

/** The node's program. */
export const CONSILIUM = process.env["CONSILIUM"];

export const SITES = ["hospital_A", "hospital_B", "hospital_C"] as const;
export type Site = (typeof SITES)[number];
const DATA = resolve("../../examples/data/omop");

const SETTINGS = `patient_key = "person_id"
min_patients = 11

[tables.person.columns.gender_concept_id]
domain = [8507, 8532]
`;
const POLICY = `classes = ["count", "sum", "table", "matching"]
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
  stewards: Record<Site, string>;
  analyst: string;
  stop: () => Promise<void>;
}

export async function start(): Promise<Nodes> {
  const folder = await mkdtemp(join(tmpdir(), "consilium-walk-"));
  const at = (...parts: string[]) => join(folder, ...parts);
  await writeFile(at("settings.toml"), SETTINGS);
  await writeFile(at("policy.toml"), POLICY);
  await writeFile(at("study.toml"), STUDY);
  const bases = {} as Record<Site, string>;
  for (const site of SITES) {
    const listen = `127.0.0.1:${await freeUdpPort()}`;
    const made = ["--settings", at("settings.toml"), "--policy", at("policy.toml")];
    run("init", "--dir", at(site), "--name", site, "--data", join(DATA, site), "--listen", listen, ...made);
    const port = await freeTcpPort();
    bases[site] = `http://127.0.0.1:${port}/`;
    const account = site === "hospital_A" ? `[[account]]\nname = "lin"\nkey = "../lin/private.key"\n` : "";
    const more = `studies = ["../study.toml"]\n[console]\nlisten = "127.0.0.1:${port}"\n${account}`;
    await appendFile(at(site, "node.toml"), more);
  }
  run("init", "--dir", at("lin"), "--name", "lin", "--analyst", "--at", "hospital_A");
  const publics = [...SITES, "lin"].map((name) => at(name, `${name}.public.toml`));
  run("enroll", "--out", at("network.toml"), "--settings", at("settings.toml"), ...publics);
  for (const site of SITES) await copyFile(at("network.toml"), at(site, "network.toml"));
  const token = (site: Site, ...more: string[]) =>
    run("console-token", "--config", at(site, "node.toml"), ...more).trim();
  const names = { hospital_A: "ada", hospital_B: "bo", hospital_C: "chen" };
  const steward = (site: Site) => [site, token(site, "--role", "steward", "--account", names[site])];
  const stewards = Object.fromEntries(SITES.map(steward)) as Record<Site, string>;
  const analyst = token("hospital_A", "--role", "analyst", "--account", "lin");
  const nodes = await Promise.all(SITES.map((site) => serving(at(site, "node.toml"))));
  const stop = async () => {
    await Promise.all(nodes.map(ended));
    await rm(folder, { recursive: true, force: true });
  };
  return { bases, stewards, analyst, stop };
}

/** A command to its end; what it prints. */
function run(...args: string[]): string {
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

async function freeUdpPort(): Promise<number> {
  const socket = createSocket("udp4").bind(0, "127.0.0.1");
  await once(socket, "listening");
  const { port } = socket.address();
  socket.close();
  await once(socket, "close");
  return port;
}

async function freeTcpPort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
