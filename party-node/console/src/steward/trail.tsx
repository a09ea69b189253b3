import type { JSX } from "preact";
import { trail } from "../api";
import type { Trail } from "../api";
import { bytes, short, whole } from "../format";
import { to } from "../route";
import { Shown, useLoad } from "../ui/load";
import { Facts, Hash, Moment, Section, Sql, TableBox, Title, useListed } from "../ui/parts";
import { useWords } from "../words";
import { LogTable } from "./log_table";
import { ReleaseState } from "./releases";
import { stepKind } from "../step_kind";

/** What was sent for a release, by step, and where the other sites' logs ended. */
export function TrailPage(props: { id: string }): JSX.Element {
  const words = useWords();
  const loaded = useLoad(() => trail(props.id), [props.id]);
  return (
    <>
      <p>
        <a href={to("releases")}>← {words.shell.releases}</a>
      </p>
      <Title>{words.releases.one(short(props.id))}</Title>
      <Shown of={loaded}>{(found) => <Body {...found} />}</Shown>
    </>
  );
}

function Body({ release, plan, sites, sent, heads, lines }: Trail): JSX.Element {
  const words = useWords();
  const listed = useListed();
  return (
    <>
      <Facts
        of={[
          [words.releases.when, <Moment ms={release.at_ms} />],
          [words.releases.state, <ReleaseState state={release.state} />],
          [words.releases.analyst, release.analyst],
          [words.releases.study, release.study],
          [words.review.sites, listed(sites)],
          [words.review.digest, <Hash digest={plan} whole />],
        ]}
      />
      {release.query !== "" && <Sql text={release.query} />}
      <Section title={words.releases.sent}>
        <Sent sent={sent} />
      </Section>
      <Section title={words.releases.heads}>
        <TableBox
          label={words.releases.heads}
          head={[words.network.site, words.releases.line, words.releases.hash]}
          numbers={[1]}
        >
          {heads.map(({ site, seq, hash }) => (
            <tr key={site}>
              <th scope="row">{site}</th>
              <td class="number">{whole(seq)}</td>
              <td>
                <Hash digest={hash} />
              </td>
            </tr>
          ))}
        </TableBox>
      </Section>
      <Section title={words.releases.lines}>
        <LogTable lines={lines} />
      </Section>
    </>
  );
}

function Sent(props: { sent: Trail["sent"] }): JSX.Element {
  const words = useWords();
  const total = (pick: (step: Trail["sent"][number]) => number) =>
    props.sent.reduce((all, step) => all + pick(step), 0);
  const [all, messages] = [total((step) => step.bytes), total((step) => step.messages)];
  if (all === 0) return <p>{words.releases.nothingSent}</p>;
  return (
    <>
      <p>{words.releases.sentLead(bytes(all, words), messages)}</p>
      <TableBox
        label={words.releases.sent}
        head={[words.releases.what, words.releases.messages, words.releases.bytes, ""]}
        numbers={[1, 2]}
      >
        {props.sent.map(({ step, messages, bytes: of }) => (
          <tr key={step}>
            <td>
              {words.stepKinds[stepKind(step)]}
              <br />
              <code class="small quiet path" translate={false}>
                {step}
              </code>
            </td>
            <td class="number">{whole(messages)}</td>
            <td class="number">{whole(of)}</td>
            <td aria-hidden="true" class="wide-only">
              <progress max={all} value={of} />
            </td>
          </tr>
        ))}
        <tr class="total">
          <th scope="row">{words.releases.total}</th>
          <td class="number">{whole(messages)}</td>
          <td class="number">{whole(all)}</td>
          <td />
        </tr>
      </TableBox>
    </>
  );
}
