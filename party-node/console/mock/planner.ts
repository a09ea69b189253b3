import type { Class, Disclosure, Kind, Language, Plan, PlanRequest, Purpose, Recipient, SiteAsk } from "../src/api";
import { columnsOf } from "./answers";
import { digest, NETWORK, POLICIES, SITES, usesAt } from "./network";
import { parse } from "./parse";
import type { Parsed } from "./parse";
import { sentences } from "./sentences";

/** A plan such as the engine would make: right in shape and in words, not in every detail. */
export function planOf(request: PlanRequest, analyst: string, language: Language, answerAt: string): Plan {
  const parsed = parse(request.sql);
  const query = request.sql.replace(/\s+/g, " ").trim();
  const classes = classesOf(parsed);
  const id = digest("plan", query.toLowerCase(), request.study, request.audience, JSON.stringify(request.noise));
  const groups = parsed.keys.length > 0 ? 64 : 1;
  const figures = parsed.items.length * groups;
  const said = sentences[language];
  const disclosures = disclosuresOf(parsed, request.audience, language);
  const perSite = 320 + figures * 48 + (parsed.matching ? 41_600_000 : 0);
  const plan: Omit<Plan, "explained"> = {
    digest: id,
    disclosure: digest("disclosure", id),
    planner: "consilium 0.6.0, datafusion 55.2.0",
    now_ms: 0,
    query,
    study: request.study,
    analyst,
    audience: request.audience,
    sites: SITES,
    answer_at: answerAt,
    classes,
    disclosures,
    cost: {
      rounds: 14 + (parsed.matching ? 61 : 0) + (parsed.keys.length > 0 ? 22 : 0),
      bytes_per_site: perSite,
      bytes_total: 3 * perSite + 2048,
      preparation: { rounds: 9, bytes_per_site: 186_000 + figures * 2400 },
      work: [said.compare(figures), ...(parsed.matching ? [said.match] : [])],
    },
    thresholds: { min_patients: 11, zero_allowed: false, flag_extreme_shares: true },
    asks: SITES.map((site) => ask(site, parsed, classes)),
    columns: columnsOf(parsed),
    notes: [],
  };
  return { ...plan, explained: explained(plan) };
}

function classesOf(parsed: Parsed): Class[] {
  const has = (pattern: RegExp) => parsed.items.some((item) => pattern.test(item.text));
  const found: [Class, boolean][] = [
    ["count", has(/\bcount\s*\(/i)],
    ["sum", has(/\b(sum|avg|var_samp|stddev|odds_ratio)\s*\(/i)],
    ["table", parsed.keys.length > 0],
    ["matching", parsed.matching],
    ["extreme", parsed.extreme],
  ];
  return found.flatMap(([kind, is]) => (is ? [kind] : []));
}

function disclosuresOf(parsed: Parsed, audience: Plan["audience"], language: Language): Disclosure[] {
  const said = sentences[language];
  const keys = parsed.keys.join(", ");
  const place = (figure: string) => said.place(figure, keys, parsed.tables.join(", "), parsed.where);
  const one = (id: string, kind: Kind, to: Recipient, what: string, why: string, opened = true): Disclosure => ({
    id,
    kind,
    to,
    what,
    why,
    opened,
    sites: to === "analyst" ? [] : SITES,
    analyst: true,
  });
  const figures = parsed.items.filter(
    (item) => item.text.includes("(") && !parsed.keys.some((key) => key.toLowerCase() === item.name.toLowerCase()),
  );
  const out: Disclosure[] = [];
  if (parsed.keys.length > 0 && keys !== "gender_concept_id")
    out.push(one("keys/0", "keys", "everyone", said.keys(keys, parsed.tables.join(", ")), said.grouping));
  let slot = 0;
  const value = (what: string, why: string) =>
    out.push(
      one(`answer/0/slot/${slot++}`, "value", audience === "analyst" ? "analyst" : "everyone", place(what), why),
    );
  value(
    parsed.matching ? said.patients : said.rows,
    figures.some((item) => /count/i.test(item.text)) ? said.asked : said.present,
  );
  for (const { text } of figures.filter((item) => !/\bcount\b/i.test(item.text))) {
    const column = /\(\s*(.*)\s*\)/.exec(text)?.[1] ?? text;
    if (/\b(median|min|max)\b/i.test(text)) value(said.median(column), said.asked);
    else value(said.sumOf(column), /avg/i.test(text) ? said.average : said.asked);
  }
  out.push(one("hidden/0", "bit", "analyst", said.hidden, said.smallCells, false));
  if (parsed.matching) out.push(one("patients/0", "size", "everyone", said.padded, said.padding, false));
  out.push(one("difference/0", "bit", "everyone", said.difference, said.differencing));
  return out;
}

/** What the plan asks of a site, against what the site publishes. */
function ask(site: string, parsed: Parsed, classes: Class[]): SiteAsk {
  const tables = parsed.tables.map((table) => {
    const names = [...new Set(parsed.uses.filter((use) => use.table === table).map((use) => use.column))];
    return {
      table,
      columns: names.map((column) => ({
        column,
        uses: parsed.uses.filter((use) => use.table === table && use.column === column).map((use) => use.purpose),
      })),
    };
  });
  const base = { site, classes, tables, toml: toml(site, classes, tables) };
  if (!POLICIES[site]!.tell_reasons) return { ...base, verdict: "untold", refusal: null };
  const refused = parsed.uses.find((use) => !usesAt(site, use.table, use.column).includes(use.purpose));
  if (!refused) return { ...base, verdict: "allows", refusal: null };
  const { table, column, purpose } = refused;
  const message = `${site} does not allow ${table}.${column} ${WORDS[purpose]} (rule: columns.${table}.${column})`;
  return {
    ...base,
    verdict: "refuses",
    refusal: {
      code: "COLUMN_NOT_ALLOWED",
      message,
      hint: "explain --grants prints what each site would have to allow",
    },
  };
}

const WORDS: Record<Purpose, string> = {
  filter: "to choose rows (filter)",
  group: "to form groups (group)",
  sum: "to be counted or added up (sum)",
  link: "to bring the rows of a patient together (link)",
  extreme: "to show its smallest, largest or middle values (extreme)",
  reveal: "to show the values that occur (reveal)",
};

function toml(site: string, classes: Class[], tables: SiteAsk["tables"]): string {
  const sections = tables.map(
    ({ table, columns }) =>
      `[columns.${table}]\n${columns.map(({ column, uses }) => `${column} = [${uses.map((use) => `"${use}"`).join(", ")}]\n`).join("")}`,
  );
  return `# ${site}\nclasses = [${classes.map((kind) => `"${kind}"`).join(", ")}]\n\n${sections.join("\n")}`;
}

function explained(plan: Omit<Plan, "explained">): string {
  const { query, sites, classes, asks, cost, disclosures } = plan;
  const uses = asks[0]!.tables.flatMap(({ table, columns }) =>
    columns.map(({ column, uses }) => `  of ${table}.${column}: ${uses.join(", ")}`),
  );
  return [
    "Question",
    `  ${query}`,
    "Sites",
    `  ${sites.join(", ")}`,
    "Asks",
    `  for: ${classes.join(", ")}`,
    ...uses,
    "Sum 0: revealed_0",
    `  Local work: Private(each of ${sites.join(", ")}), at most 1000000 rows each`,
    "  Vectors: Shared, one number per group and slot",
    "  Small cells: Shared, slots 0 of each group against 11",
    "Finish: Public, by the analyst, on revealed rows",
    "Cost",
    `  ${cost.rounds} rounds, at most ${cost.bytes_per_site} bytes from each site, ${cost.bytes_total} in all`,
    "Disclosures",
    ...disclosures.map((of) => `  - to ${of.to}: ${of.id} [${of.kind}]`),
    "Promise",
    "  semi-honest, dishonest majority: sites that follow the protocol, even all but one of them together, learn only the disclosures above, and whether a site's own work failed",
    `Network ${NETWORK}`,
  ].join("\n");
}
