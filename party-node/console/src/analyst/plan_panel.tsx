import type { JSX } from "preact";
import type { Plan, SiteAsk } from "../api";
import type { PlanFile } from "../files/plan_file";
import { bytes } from "../format";
import { Disclosures } from "../picture/disclosures";
import { Badge, Hash, Name, PlanText, Section, useListed } from "../ui/parts";
import type { Tone } from "../ui/parts";
import { RefusalText } from "../ui/refusal";
import { useWords } from "../words";
import type { Planning } from "./planning";

/** Sites whose published policies refuse a plan. */
export function refusing(plan: Plan): string[] {
  return plan.asks.filter((ask) => ask.verdict === "refuses").map((ask) => ask.site);
}

/** What the node says of the question so far. */
export function PlanPanel(props: { planning: Planning; file: PlanFile | null; empty: boolean }): JSX.Element {
  const words = useWords();
  const { busy, plan, last, refusal } = props.planning;
  return (
    <Section title={words.ask.planned} class="side wide">
      <p role="status" class="quiet small">
        {busy ? words.ask.planning : plan ? <Hash digest={plan.digest} /> : ""}&nbsp;
      </p>
      {props.empty && <p>{words.ask.empty}</p>}
      {refusal && !busy && (
        <div class="box bad" role="status">
          <RefusalText refusal={refusal} />
        </div>
      )}
      {last && !props.empty && refusal === null && (
        <div class={busy ? "stale" : ""}>
          <PlanBody plan={last} file={props.file} />
        </div>
      )}
    </Section>
  );
}

function PlanBody(props: { plan: Plan; file: PlanFile | null }): JSX.Element {
  const words = useWords();
  const listed = useListed();
  const { plan, file } = props;
  const atMost = (n: number) => words.unit.atMost(bytes(n, words));
  const refusals = refusing(plan);
  return (
    <>
      {file && (
        <p class={`box ${file.plan === plan.digest ? "good" : "bad"}`}>
          {file.plan === plan.digest ? words.ask.samePlan : words.ask.otherPlan}
        </p>
      )}
      {refusals.length > 0 && <p class="box bad">{words.ask.refusedBy(listed(refusals))}</p>}
      <h3>{words.picture.title}</h3>
      <Disclosures plan={plan} />
      <h3>{words.ask.asks}</h3>
      {plan.asks.map((ask) => (
        <Ask key={ask.site} {...ask} />
      ))}
      <h3>{words.ask.cost}</h3>
      <p>
        {plan.cost.work.length > 0 && `${words.ask.costOpening} `}
        {words.ask.costText(
          words.unit.rounds(plan.cost.rounds),
          atMost(plan.cost.bytes_per_site),
          atMost(plan.cost.bytes_total),
        )}
      </p>
      {plan.cost.preparation && <p>{words.ask.costPrepared(atMost(plan.cost.preparation.bytes_per_site))}</p>}
      {plan.cost.work.length > 0 && (
        <>
          <p>{words.ask.costWork}</p>
          <ul>
            {plan.cost.work.map((work) => (
              <li key={work}>{work}</li>
            ))}
          </ul>
        </>
      )}
      <h3>{words.ask.columns}</h3>
      <p>
        {plan.columns.map(({ name, type }) => (
          <span key={name} class="pair">
            <Name>{name}</Name> <span class="small quiet">{type}</span>
          </span>
        ))}
      </p>
      {plan.notes.length > 0 && (
        <>
          <h3>{words.ask.notes}</h3>
          <ul>
            {plan.notes.map((note) => (
              <li key={note}>{note}</li>
            ))}
          </ul>
        </>
      )}
      <details>
        <summary>{words.ask.text}</summary>
        <PlanText text={plan.explained} />
      </details>
    </>
  );
}

const TONES: Record<SiteAsk["verdict"], Tone> = { allows: "good", refuses: "bad", untold: "busy" };

function Ask(props: SiteAsk): JSX.Element {
  const words = useWords();
  const listed = useListed();
  const verdicts = { allows: words.ask.allows, refuses: words.ask.refuses, untold: words.ask.untoldVerdict };
  const uses = props.tables.flatMap(({ table, columns }) =>
    columns.length === 0
      ? [`${table}: ${words.review.tableOnly}`]
      : columns.map(({ column, uses }) => `${table}.${column}: ${listed(uses.map((use) => words.purposes[use]))}`),
  );
  return (
    <details class="ask-site" open={props.verdict === "refuses"}>
      <summary>
        {props.site} <Badge tone={TONES[props.verdict]}>{verdicts[props.verdict]}</Badge>
      </summary>
      {props.refusal && <RefusalText refusal={props.refusal} />}
      <ul class="small">
        <li>{listed(props.classes.map((kind) => words.classes[kind]))}</li>
        {uses.map((use) => (
          <li key={use}>{use}</li>
        ))}
      </ul>
      <details>
        <summary class="small">{words.ask.policyFile}</summary>
        <PlanText text={props.toml} />
      </details>
    </details>
  );
}
