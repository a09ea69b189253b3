import type { JSX } from "preact";
import type { Disclosure, Plan } from "../api";
import { visible } from "../format";
import { Badge } from "../ui/parts";
import { useWords } from "../words";
import { byRecipient } from "./learn";
import { Picture } from "./picture";

/** What a plan reveals: the picture, and the same as a list by who learns it. */
export function Disclosures(props: { plan: Plan }): JSX.Element {
  const words = useWords();
  const { plan } = props;
  return (
    <>
      <Picture plan={plan} />
      {plan.answer_at && <p class="small">{words.picture.through(plan.analyst, plan.answer_at)}</p>}
      <DisclosureList of={plan.disclosures} />
    </>
  );
}

export function DisclosureList(props: { of: Disclosure[] }): JSX.Element {
  const words = useWords();
  if (props.of.length === 0) return <p>{words.picture.nothing}</p>;
  return (
    <>
      {byRecipient(props.of).map(({ to, items }) => (
        <div key={to}>
          <h3>{words.recipients[to]}</h3>
          <ul class="disclosures">
            {items.map(({ number, of }) => (
              <Item key={of.id} number={number} of={of} />
            ))}
          </ul>
        </div>
      ))}
      <p class="small quiet">{words.picture.notRevealed}</p>
    </>
  );
}

function Item(props: { number: number; of: Disclosure }): JSX.Element {
  const words = useWords();
  const { kind, opened, what, why } = props.of;
  return (
    <li>
      <span class="badge-number">{props.number}</span>
      <div>
        <p>{visible(what)}</p>
        <p class="small quiet">
          <Badge tone="plain">{words.disclosureKinds[kind]}</Badge>{" "}
          {opened ? words.picture.opened(why) : words.picture.follows(why)}
        </p>
      </div>
    </li>
  );
}
