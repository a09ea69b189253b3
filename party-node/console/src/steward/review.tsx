import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { review } from "../api";
import type { Me, Review, SiteAsk } from "../api";
import { listen } from "../api/watch";
import { bytes, short } from "../format";
import { Disclosures } from "../picture/disclosures";
import { to } from "../route";
import { Shown, useLoad } from "../ui/load";
import { Ago, Badge, Facts, Hash, Moment, Name, PlanText, Section, Sql, TableBox, Title, useListed } from "../ui/parts";
import { RefusalText } from "../ui/refusal";
import { useWords } from "../words";
import { Decide } from "./decide";
import { DryRunBox } from "./dry_run";

/** A plan that waits, with everything that a steward needs to decide. */
export function ReviewPage(props: { me: Me; plan: string }): JSX.Element {
  const words = useWords();
  const loaded = useLoad(() => review(props.plan), [props.plan]);
  // Where stewards approve by their own command, this page hears of it, unless it is this page that decides.
  const decides = useRef(false);
  const elsewhere = loaded.value?.own_keys === true;
  useEffect(() => listen({ inbox: () => elsewhere && !decides.current && loaded.again() }), [elsewhere, loaded.again]);
  return (
    <>
      <p>
        <a href={to("inbox")}>← {words.review.toInbox}</a>
      </p>
      <Title>{words.review.title(short(props.plan))}</Title>
      <Shown of={loaded}>
        {(found) => (
          <Body me={props.me} at={props.plan} review={found} onDecide={(is) => (decides.current = is)} />
        )}
      </Shown>
    </>
  );
}

/** `at` is where it waits: a plan of one analyst in one study. */
function Body(props: { me: Me; at: string; review: Review; onDecide: (is: boolean) => void }): JSX.Element {
  const words = useWords();
  const listed = useListed();
  const { plan, sql, refusal } = props.review;
  const site = props.me.site;
  const classes = plan.classes.map((kind) => words.classes[kind]);
  const ask = plan.asks.find((of) => of.site === site);
  return (
    <>
      <p class="lead">{words.review.summary(plan.analyst, plan.study, listed(classes))}</p>
      {refusal && (
        <div class="box bad">
          <p>{words.review.refused}</p>
          <RefusalText refusal={refusal} />
        </div>
      )}
      <div class="columns">
        <div>
          <Section title={words.review.who}>
            <Who {...props.review} />
          </Section>
          <Section title={words.review.question}>
            <Sql text={sql} />
          </Section>
          <Section title={words.review.reveals}>
            <Disclosures plan={plan} />
          </Section>
          <Section title={words.review.leaves(site)}>
            <Leaves {...props.review} site={site} />
          </Section>
          {ask && (
            <Section title={words.review.uses}>
              <Uses ask={ask} />
            </Section>
          )}
          <Section title={words.review.own}>
            <DryRunBox plan={props.at} />
          </Section>
          <details>
            <summary>{words.review.text}</summary>
            <Facts
              of={[
                [words.review.digest, <Hash digest={plan.digest} whole />],
                [words.review.disclosure, <Hash digest={plan.disclosure} whole />],
              ]}
            />
            <PlanText text={plan.explained} />
          </details>
        </div>
        <Section title={words.review.decide} class="side">
          <Decide me={props.me} at={props.at} review={props.review} onDecide={props.onDecide} />
        </Section>
      </div>
    </>
  );
}

function Who(props: Review): JSX.Element {
  const words = useWords();
  const listed = useListed();
  const { study, plan } = props;
  return (
    <Facts
      of={[
        [words.review.analyst, <strong>{plan.analyst}</strong>],
        [words.review.pin, <Hash digest={props.analyst_pin} />],
        [words.review.study, study.name],
        [words.review.purpose, study.purpose],
        [words.review.basis, study.legal_basis],
        [words.review.ethics, study.ethics ?? words.shell.none],
        [words.review.ends, study.ends],
        [words.review.sites, listed(plan.sites)],
        [
          words.review.since,
          <>
            <Ago ms={props.since_ms} /> (<Moment ms={props.since_ms} />)
          </>,
        ],
        [words.review.before, String(props.releases_before)],
      ]}
    />
  );
}

/** In bytes and in words. */
function Leaves(props: Review & { site: string }): JSX.Element {
  const words = useWords();
  const listed = useListed();
  const { cost, sites, thresholds } = props.plan;
  const others = listed(sites.filter((name) => name !== props.site));
  const atMost = (n: number) => words.unit.atMost(bytes(n, words));
  const { min_patients: least, zero_allowed: zeros } = thresholds;
  return (
    <>
      <p>
        <strong>{words.review.noRow(props.site)}</strong>
      </p>
      <p>{words.review.shares(atMost(cost.bytes_per_site), others)}</p>
      <p>
        {cost.preparation ? words.review.prepared(atMost(cost.preparation.bytes_per_site)) : words.review.unprepared}
      </p>
      {cost.work.length > 0 && (
        <>
          <p>{words.review.work}</p>
          <ul>
            {cost.work.map((work) => (
              <li key={work}>{work}</li>
            ))}
          </ul>
        </>
      )}
      <h3>{words.review.thresholds}</h3>
      <p>
        {least > 1 ? words.review.hidden(least) : words.review.notHidden}{" "}
        {least > 1 && (zeros ? words.review.zerosShown : words.review.zerosHidden)}
      </p>
    </>
  );
}

function Uses(props: { ask: SiteAsk }): JSX.Element {
  const words = useWords();
  const listed = useListed();
  const { tables } = props.ask;
  return (
    <TableBox label={words.review.uses} head={[words.review.column, words.review.usedFor]}>
      {tables.map(({ table, columns }) => (
        <>
          {columns.length === 0 && (
            <tr>
              <td>
                <Name>{table}</Name>
              </td>
              <td>{words.review.tableOnly}</td>
            </tr>
          )}
          {columns.map(({ column, uses }) => (
            <tr key={column}>
              <td>
                <Name>{`${table}.${column}`}</Name>
              </td>
              <td>
                {listed(uses.map((use) => words.purposes[use]))}{" "}
                {uses.includes("reveal") && <Badge tone="busy">reveal</Badge>}
              </td>
            </tr>
          ))}
        </>
      ))}
    </TableBox>
  );
}
