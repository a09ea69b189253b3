import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { decided, inbox, withdraw } from "../api";
import type { Decided, Me, Waiting } from "../api";
import { listen } from "../api/watch";
import { short, utc } from "../format";
import { to } from "../route";
import { ConfirmDialog } from "../ui/dialog";
import { Shown, useOrder } from "../ui/load";
import { Ago, Badge, Hash, More, Moment, QueryLine, Section, Sql, TableBox, Title, useListed } from "../ui/parts";
import { useParts } from "../ui/parts_list";
import { RefusalBox } from "../ui/refusal";
import { useWords } from "../words";

/** The plans that wait here, and the decisions that may be withdrawn. */
export function InboxPage(props: { me: Me }): JSX.Element {
  const words = useWords();
  const waiting = useParts(inbox, []);
  useEffect(() => listen({ inbox: waiting.again }), [waiting.again]);
  return (
    <>
      <Title>{words.inbox.title}</Title>
      <p>{words.inbox.lead(props.me.site)}</p>
      <Shown of={waiting}>
        {(part) => (
          <>
            {part.items.length === 0 && <p class="box">{words.inbox.empty}</p>}
            <ul class="cards">
              {part.items.map((plan) => (
                <Card key={plan.plan} {...plan} />
              ))}
            </ul>
            <More next={part.next} onMore={waiting.more} />
          </>
        )}
      </Shown>
      <Section title={words.inbox.decidedTitle}>
        <DecidedList me={props.me} />
      </Section>
    </>
  );
}

function Card(props: Waiting): JSX.Element {
  const words = useWords();
  const listed = useListed();
  return (
    <li class="box">
      <h2>{words.inbox.asks(props.analyst, props.study)}</h2>
      <p class="small quiet">
        <Hash digest={props.plan} /> · <Ago ms={props.since_ms} />
      </p>
      {props.consents.length > 0 && (
        <p>
          <Badge tone="busy">{words.inbox.consents(listed(props.consents))}</Badge>
        </p>
      )}
      <Sql text={props.query} />
      <p class="actions">
        <a class="button main" href={to("inbox", props.plan)}>
          {words.inbox.review}
          <span class="unseen"> {short(props.plan)}</span>
        </a>
      </p>
    </li>
  );
}

function DecidedList(props: { me: Me }): JSX.Element {
  const words = useWords();
  const list = useParts(decided, []);
  // Others decide too: at another page, or by command.
  useEffect(() => listen({ inbox: list.again }), [list.again]);
  const [chosen, choose] = useState<Decided | null>(null);
  const [begun, setBegun] = useState<boolean | null>(null);
  const order = useOrder();
  const take = (plan: Decided) =>
    order.run(async () => {
      const found = await withdraw(plan.plan, props.me.name).finally(() => choose(null));
      setBegun(found.begun);
      list.again();
    });
  const head = [words.releases.when, words.inbox.question, words.inbox.decision, words.inbox.by, ""];
  return (
    <>
      <p>{words.inbox.decidedLead}</p>
      {begun !== null && (
        <p class="box good" role="status">
          {begun ? words.inbox.withdrawnBegun : words.inbox.withdrawn}
        </p>
      )}
      {order.refusal && <RefusalBox refusal={order.refusal} />}
      <Shown of={list}>
        {(part) =>
          part.items.length === 0 ? (
            <p class="quiet">{words.inbox.nothingDecided}</p>
          ) : (
            <>
              <TableBox label={words.inbox.decidedTitle} head={head} stack>
                {part.items.map((plan) => (
                  <DecidedRow key={plan.plan} plan={plan} onWithdraw={() => choose(plan)} />
                ))}
              </TableBox>
              <More next={part.next} onMore={list.more} />
            </>
          )
        }
      </Shown>
      {chosen && (
        <ConfirmDialog
          title={words.inbox.withdrawTitle}
          action={words.inbox.withdraw}
          danger
          busy={order.busy}
          onClose={() => choose(null)}
          onAction={() => take(chosen)}
        >
          <p>{words.inbox.withdrawText}</p>
          <Sql text={chosen.query} />
        </ConfirmDialog>
      )}
    </>
  );
}

function DecidedRow(props: { plan: Decided; onWithdraw: () => void }): JSX.Element {
  const words = useWords();
  const { plan, analyst, query, at_ms, by, decision } = props.plan;
  const approved = decision.state === "approved";
  return (
    <tr>
      <td>
        <Moment ms={at_ms} />
      </td>
      <td class="query">
        <Hash digest={plan} /> {analyst}
        <br />
        <QueryLine text={query} />
      </td>
      <td>
        <Badge tone={approved ? "good" : "bad"}>
          {decision.state === "approved"
            ? words.inbox.approved(utc(decision.until_ms))
            : words.inbox.rejected(decision.reason)}
        </Badge>
      </td>
      <td data-label={words.inbox.by}>{by}</td>
      <td>
        <button type="button" onClick={props.onWithdraw}>
          {words.inbox.withdraw}
          <span class="unseen"> {short(plan)}</span>
        </button>
      </td>
    </tr>
  );
}
