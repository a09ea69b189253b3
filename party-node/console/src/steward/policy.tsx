import type { JSX } from "preact";
import { policy } from "../api";
import type { Class, Limit, PolicyView, SitePolicy } from "../api";
import { Shown, useLoad } from "../ui/load";
import { Badge, Facts, Hash, Name, Section, TableBox, Title, useListed } from "../ui/parts";
import { useWords } from "../words";
import type { Words } from "../words";

/** The policy as tables. It is changed in its file, by whoever runs the node. */
export function PolicyPage(): JSX.Element {
  const words = useWords();
  const loaded = useLoad(policy, []);
  return (
    <>
      <Title>{words.policy.title}</Title>
      <p>{words.policy.lead}</p>
      <Shown of={loaded}>{(found) => <Body {...found} />}</Shown>
    </>
  );
}

function Body({ digest, published, policy }: PolicyView): JSX.Element {
  const words = useWords();
  return (
    <>
      <p class={published ? "box good" : "box bad"}>{published ? words.policy.published : words.policy.unpublished}</p>
      <Facts of={[[words.policy.digest, <Hash digest={digest} whole />]]} />
      <Section title={words.policy.rules}>
        <Rules policy={policy} />
      </Section>
      <Section title={words.policy.numbers}>
        <Numbers policy={policy} />
      </Section>
      <Section title={words.policy.classes}>
        <Classes policy={policy} />
      </Section>
      <Section title={words.policy.columns}>
        <Columns policy={policy} />
      </Section>
    </>
  );
}

function Rules(props: { policy: SitePolicy }): JSX.Element {
  const words = useWords();
  const listed = useListed();
  const rules = props.policy.approve ?? [];
  if (rules.length === 0) return <p>{words.policy.noRules}</p>;
  return (
    <>
      <p>{words.policy.rulesLead}</p>
      <TableBox label={words.policy.rules} head={["", words.policy.classes, words.policy.by]}>
        {rules.map(({ classes, analysts }, i) => (
          <tr key={i}>
            <th scope="row">{i + 1}</th>
            <td>{listed(classes.map((kind) => words.classes[kind]))}</td>
            <td>{analysts ? listed(analysts) : words.policy.anyone}</td>
          </tr>
        ))}
      </TableBox>
    </>
  );
}

function Numbers(props: { policy: SitePolicy }): JSX.Element {
  const words = useWords();
  const listed = useListed();
  const set = numbers(props.policy, words, listed);
  return (
    <TableBox label={words.policy.numbers} head={[words.policy.rule, words.policy.value]}>
      {set.map(([name, value]) => (
        <tr key={name}>
          <th scope="row">{words.policy.names[name]}</th>
          <td class={value === null ? "quiet" : ""}>{value ?? words.policy.notSet}</td>
        </tr>
      ))}
    </TableBox>
  );
}

type Name = keyof Words["policy"]["names"];

function numbers(of: SitePolicy, words: Words, listed: (names: string[]) => string): [Name, string | null][] {
  const truth = (is: boolean | undefined) => (is === undefined ? null : is ? words.shell.yes : words.shell.no);
  const text = (n: number | undefined) => (n === undefined ? null : String(n));
  const limit = (of: Limit | undefined) => (of ? words.policy.atMostIn(of.most, of.total ?? 4 * of.most, words.unit.days(of.days)) : null);
  const matched =
    of.matching && words.policy.fromTo(String(of.matching.min_patients ?? 1), String(of.matching.max_patients ?? "∞"));
  const tables = of.released_tables ?? null;
  return [
    ["analysts", of.analysts ? listed(of.analysts) : words.policy.anyone],
    ["min_patients", text(of.min_patients)],
    ["zero_allowed", truth(of.zero_allowed)],
    ["flag_extreme_shares", truth(of.flag_extreme_shares)],
    ["min_sites", text(of.min_sites)],
    ["max_groups", text(of.max_groups)],
    ["matched", matched ?? null],
    ["releases", limit(of.releases)],
    ["refusals", limit(of.refusals)],
    ["privacy", of.privacy ? words.policy.epsilon(of.privacy.epsilon, of.privacy.most_per_release) : null],
    ["opt_out", of.opt_out?.file ?? null],
    ["one_ledger", truth(of.one_ledger ?? false)],
    [
      "released_tables",
      tables && words.policy.anonymous(tables.k_anonymous, tables.l_diverse, listed(tables.sensitive)),
    ],
    ["tell_reasons", truth(of.tell_reasons)],
    ["two_persons", truth(of.two_persons ?? false)],
    ["stewards", of.stewards ? listed(Object.keys(of.stewards)) : null],
  ];
}

function Classes(props: { policy: SitePolicy }): JSX.Element {
  const words = useWords();
  const { allow_all, classes } = props.policy;
  // An intersection names patients: it must be listed even where everything else is allowed.
  const allowed = (kind: Class) => classes.includes(kind) || (allow_all && kind !== "intersection");
  return (
    <TableBox label={words.policy.classes} head={[words.policy.kind, words.policy.allowed]}>
      {(Object.keys(words.classes) as Class[]).map((kind) => (
        <tr key={kind}>
          <th scope="row">{words.classes[kind]}</th>
          <td>
            <Allowed is={allowed(kind)} />
          </td>
        </tr>
      ))}
    </TableBox>
  );
}

function Columns(props: { policy: SitePolicy }): JSX.Element {
  const words = useWords();
  if (props.policy.allow_all) return <p>{words.policy.everything}</p>;
  const rows = Object.entries(props.policy.columns).flatMap(([table, columns]) =>
    Object.entries(columns).map(([column, grant]) => ({
      name: `${table}.${column}`,
      ...(Array.isArray(grant) ? { uses: grant } : grant),
    })),
  );
  return (
    <TableBox label={words.policy.columns} head={[words.review.column, words.policy.allowed]} stack>
      {rows.map(({ name, uses, clamp }) => (
        <tr key={name}>
          <th scope="row">
            <Name>{name}</Name>
          </th>
          <td class="uses">
            {uses.map((purpose) => (
              <Badge key={purpose} tone="good">
                {words.purposes[purpose]}
              </Badge>
            ))}
            {clamp && <span class="small quiet">{words.policy.clamp(...clamp)}</span>}
          </td>
        </tr>
      ))}
    </TableBox>
  );
}

function Allowed(props: { is: boolean }): JSX.Element {
  const words = useWords();
  return props.is ? (
    <Badge tone="good">{words.shell.yes}</Badge>
  ) : (
    <span class="quiet">
      <span aria-hidden="true">–</span>
      <span class="unseen">{words.shell.no}</span>
    </span>
  );
}
