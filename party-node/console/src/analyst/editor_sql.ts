import type { CompletionContext, CompletionResult } from "@codemirror/autocomplete";
import { sql, SQLDialect } from "@codemirror/lang-sql";
import type { Extension } from "@codemirror/state";
import type { Catalog } from "../api";

/** The words that the planner reads. A whole dialect would offer hundreds that it refuses. */
const dialect = SQLDialect.define({
  keywords:
    "select from where group by order asc desc nulls first last having limit distinct as on join inner left right full cross using union all " +
    "and or not in is null like between exists case when then else end cast extract filter within over partition with interval true false",
  builtin:
    "count sum avg min max median stddev stddev_pop var_pop var_samp percentile_cont percentile_disc approx_distinct round floor abs coalesce nullif date_trunc now",
  types: "int bigint double decimal date timestamp boolean varchar",
});

/** SQL with completion from the catalogue: tables, also under each site's name, and the columns of the tables that are asked. */
export function sqlOf(catalog: Catalog | null): Extension {
  const tables = Object.fromEntries(
    (catalog?.tables ?? []).map((table) => [table.name, table.columns.map(({ name }) => name)]),
  );
  const sites = Object.fromEntries((catalog?.sites ?? []).map((site) => [site, tables]));
  const support = sql({ dialect, schema: { ...tables, ...sites }, upperCaseKeywords: true });
  const columns = (context: CompletionContext) => (catalog ? columnsAt(catalog, context) : null);
  return [support, dialect.language.data.of({ autocomplete: columns })];
}

/** The columns of the tables that the text names; before everything else, as they are what is mostly meant. */
export function columnsAt(catalog: Catalog, context: CompletionContext): CompletionResult | null {
  const word = context.matchBefore(/[\w.]*/);
  // After a dot the language itself knows what may follow.
  if (!word || word.text.includes(".") || (word.from === word.to && !context.explicit)) return null;
  const text = context.state.doc.toString().toLowerCase();
  const named = catalog.tables.filter((table) => new RegExp(`\\b${table.name.toLowerCase()}\\b`).test(text));
  const options = named.flatMap((table) =>
    table.columns.map(({ name, data_type }) => ({
      label: name,
      type: "property",
      detail: `${table.name}, ${data_type}`,
      boost: 50,
    })),
  );
  return {
    from: word.from,
    options: options.filter((option, i) => options.findIndex(({ label }) => label === option.label) === i),
  };
}
