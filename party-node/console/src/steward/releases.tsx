import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { gauges, releases } from "../api";
import type { Gauges, Me, Release, Spent } from "../api";
import { epsilon, whole } from "../format";
import { to } from "../route";
import { Shown, useLoad } from "../ui/load";
import { Badge, Gauge, More, Moment, QueryLine, Section, TableBox, Title } from "../ui/parts";
import type { Tone } from "../ui/parts";
import { useParts } from "../ui/parts_list";
import { known } from "../ui/refusal";
import { useWords } from "../words";

/** The ledger with its limits. */
export function ReleasesPage(props: { me: Me }): JSX.Element {
  const words = useWords();
  const [study, choose] = useState("");
  const limits = useLoad(gauges, []);
  const list = useParts((from) => releases(study === "" ? null : study, from), [study]);
  const head = [
    words.releases.when,
    words.releases.state,
    words.releases.analyst,
    words.releases.study,
    words.releases.question,
  ];
  return (
    <>
      <Title>{words.releases.title}</Title>
      <Section title={words.releases.limits}>
        <Shown of={limits}>{(found) => <Limits {...found} />}</Shown>
      </Section>
      <Section title={words.releases.ledger}>
        <p>
          <label for="study">{words.releases.study}</label>{" "}
          <select id="study" value={study} onChange={(event) => choose(event.currentTarget.value)}>
            <option value="">{words.releases.every}</option>
            {props.me.studies.map(({ name }) => (
              <option key={name} value={name}>
                {name}
              </option>
            ))}
          </select>
        </p>
        <Shown of={list}>
          {(part) =>
            part.items.length === 0 ? (
              <p class="box">{words.releases.empty}</p>
            ) : (
              <>
                <TableBox label={words.releases.ledger} head={head} stack>
                  {part.items.map((one) => (
                    <Row key={one.id} {...one} />
                  ))}
                </TableBox>
                <More next={part.next} onMore={list.more} />
              </>
            )
          }
        </Shown>
      </Section>
    </>
  );
}

function Limits(props: Gauges): JSX.Element {
  const words = useWords();
  const { releases: answers, refusals } = props;
  const row = (label: string, of: Gauges["releases"]) =>
    of ? (
      <Gauge
        label={label}
        used={of.used}
        of={of.most}
        text={words.releases.used(of.used, of.most, words.unit.days(of.days))}
      />
    ) : (
      <p>
        {label}: {words.releases.noLimit}
      </p>
    );
  return (
    <>
      <div class="gauges">
        {row(words.releases.ofReleases, answers)}
        {row(words.releases.ofRefusals, refusals)}
        {props.privacy.map((of) => (
          <PrivacyGauges key={of.study} {...of} />
        ))}
      </div>
      {props.opted_out && (
        <p class="small quiet">
          {words.releases.optedOut(whole(props.opted_out.patients), whole(props.opted_out.rows))}
          {props.opted_out.unknown > 0 && ` ${words.releases.optedOutUnknown(whole(props.opted_out.unknown))}`}
        </p>
      )}
    </>
  );
}

/** ε, and δ where the policy lets Gaussian noise spend some. */
function PrivacyGauges({ study, epsilon: of, delta }: Spent): JSX.Element {
  const words = useWords();
  return (
    <>
      {of && (
        <Gauge
          label={words.releases.epsilon(study)}
          used={of.spent}
          of={of.limit}
          text={words.releases.spent(epsilon(of.spent), epsilon(of.limit))}
        />
      )}
      {delta && (
        <Gauge
          label={words.releases.delta(study)}
          used={delta.part}
          of={1000}
          text={words.releases.spent(delta.spent, delta.limit)}
        />
      )}
    </>
  );
}

function Row(props: Release): JSX.Element {
  const words = useWords();
  return (
    <tr>
      <td>
        <a href={to("releases", props.id)}>
          <Moment ms={props.at_ms} />
        </a>
      </td>
      <td>
        <ReleaseState state={props.state} />
      </td>
      <td data-label={words.releases.analyst}>{props.analyst}</td>
      <td data-label={words.releases.study}>{props.study}</td>
      <td class="query">{props.query === "" ? words.releases.forgotten : <QueryLine text={props.query} />}</td>
    </tr>
  );
}

/** `begun`, `released`, or why it was refused. */
export function ReleaseState(props: { state: string }): JSX.Element {
  const words = useWords();
  const own: Record<string, [Tone, string]> = {
    begun: ["busy", words.releases.begun],
    released: ["good", words.releases.released],
  };
  const [tone, text] = own[props.state] ?? ["bad", words.releases.refused];
  const why = tone === "bad" ? (known(props.state, words) ?? props.state) : null;
  return (
    <>
      <Badge tone={tone}>{text}</Badge>
      {why && <span class="small"> {why}</span>}
    </>
  );
}
