import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { catalog } from "../api";
import type { Catalog, Column, Table } from "../api";
import { whole } from "../format";
import { to } from "../route";
import { Shown, useLoad } from "../ui/load";
import { Badge, Name, Section, TableBox, Title, useListed } from "../ui/parts";
import { useWords } from "../words";
import { begin } from "./draft";

/** What may be asked about. */
export function CatalogPage(): JSX.Element {
  const words = useWords();
  const loaded = useLoad(catalog, []);
  const [wanted, want] = useState("");
  return (
    <>
      <Title>{words.catalog.title}</Title>
      <p>{words.catalog.lead}</p>
      <p>
        <label for="filter">{words.catalog.filter}</label>{" "}
        <input id="filter" type="search" value={wanted} onInput={(event) => want(event.currentTarget.value)} />
      </p>
      <Shown of={loaded}>{(found) => <Tables catalog={found} wanted={wanted.trim().toLowerCase()} />}</Shown>
    </>
  );
}

function Tables(props: { catalog: Catalog; wanted: string }): JSX.Element {
  const words = useWords();
  const { policy, tables } = props.catalog;
  const found = tables.map((table) => filtered(table, props.wanted)).filter((table) => table !== null);
  return (
    <>
      <Section title={words.catalog.numbers}>
        <p>
          {words.catalog.least(policy.min_patients)} · {words.catalog.sites(policy.min_sites)} ·{" "}
          {words.catalog.groups(policy.max_groups)}
        </p>
      </Section>
      {found.length === 0 && <p class="box">{words.catalog.empty}</p>}
      {found.map((table) => (
        <TableOf key={table.name} table={table} catalog={props.catalog} />
      ))}
    </>
  );
}

/** All columns of a table whose name fits, else those whose names do. */
export function filtered(table: Table, wanted: string): Table | null {
  if (table.name.toLowerCase().includes(wanted)) return table;
  const columns = table.columns.filter(({ name }) => name.toLowerCase().includes(wanted));
  return columns.length > 0 ? { ...table, columns } : null;
}

function TableOf(props: { table: Table; catalog: Catalog }): JSX.Element {
  const words = useWords();
  const listed = useListed();
  const { name, max_rows, sites, columns } = props.table;
  return (
    <Section title={name} class="box">
      <p class="small quiet">
        {words.catalog.at(listed(sites))} · {words.catalog.rows(whole(max_rows))}
      </p>
      <TableBox
        label={name}
        head={[words.catalog.column, words.catalog.type, words.catalog.values, words.catalog.uses]}
        stack
      >
        {columns.map((column) => (
          <Row key={column.name} column={column} isKey={column.name === props.catalog.patient_key} />
        ))}
      </TableBox>
      <p>
        <a href={to("ask")} onClick={() => begin({ sql: `SELECT COUNT(*) AS n\nFROM ${name}` })}>
          {words.catalog.ask}
        </a>
      </p>
    </Section>
  );
}

function Row({ column, isKey }: { column: Column; isKey: boolean }): JSX.Element {
  const words = useWords();
  const listed = useListed();
  const { domain, range, clamp } = column;
  const values = [
    domain && listed(domain),
    range && words.catalog.range(...range),
    clamp && words.catalog.clamp(...clamp),
  ].filter(Boolean);
  return (
    <tr>
      <th scope="row">
        <Name>{column.name}</Name>
        {isKey && <span class="small quiet"> {words.catalog.key}</span>}
        {column.quasi_identifier && <span class="small quiet"> {words.catalog.quasi}</span>}
      </th>
      <td data-label={words.catalog.type}>
        <code>{column.data_type}</code>
      </td>
      <td data-label={values.length > 0 ? words.catalog.values : undefined}>{values.join("; ")}</td>
      <td class="uses" data-label={column.uses.length === 0 ? words.catalog.uses : undefined}>
        {column.uses.length === 0 && <span class="quiet">{words.catalog.nowhere}</span>}
        {column.uses.map((use) => (
          <Badge key={use} tone="plain">
            {words.purposes[use]}
          </Badge>
        ))}
      </td>
    </tr>
  );
}
