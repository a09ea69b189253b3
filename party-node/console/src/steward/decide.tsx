import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { approve, reject } from "../api";
import type { Me, Review } from "../api";
import { short, utc } from "../format";
import { to } from "../route";
import { ConfirmDialog } from "../ui/dialog";
import { useOrder } from "../ui/load";
import { Badge, Copy, useListed } from "../ui/parts";
import { RefusalBox } from "../ui/refusal";
import { useWords } from "../words";

interface Deciding {
  me: Me;
  /** Where it waits. */
  at: string;
  review: Review;
  /** The page begins to decide, or did not succeed. */
  onDecide: (is: boolean) => void;
}

/** Yes or no, each confirmed once. */
export function Decide(props: Deciding): JSX.Element {
  const words = useWords();
  const listed = useListed();
  const [said, say] = useState<string | null>(null);
  const { consents, needs } = props.review;
  if (said !== null) {
    return (
      <div class="box good" role="status">
        <p>{said}</p>
        <p>
          <a class="button" href={to("inbox")}>
            {words.review.toInbox}
          </a>
        </p>
      </div>
    );
  }
  return (
    <>
      {needs > 1 && <p>{words.review.twoNeeded}</p>}
      {consents.length > 0 && (
        <p>
          <Badge tone="busy">{words.inbox.consents(listed(consents))}</Badge>
        </p>
      )}
      {props.review.own_keys ? <ByOwnKey {...props} /> : <Approve {...props} onSaid={say} />}
      <hr />
      <Reject {...props} onSaid={say} />
    </>
  );
}

function Approve(props: Deciding & { onSaid: (text: string) => void }): JSX.Element {
  const words = useWords();
  const { analyst } = props.review.plan;
  const [days, setDays] = useState(30);
  const [note, setNote] = useState(props.me.name);
  const [asking, ask] = useState(false);
  const order = useOrder();
  const run = () =>
    order.run(async () => {
      const { until_ms } = await approve(props.at, days, note).finally(() => ask(false));
      props.onSaid(words.review.approvedUntil(utc(until_ms)));
    });
  return (
    <form onSubmit={(event) => (event.preventDefault(), ask(true))}>
      <label for="days">{words.review.days}</label>
      <input
        id="days"
        type="number"
        min={1}
        max={366}
        required
        value={days}
        onInput={(e) => setDays(e.currentTarget.valueAsNumber)}
      />
      <label for="note">{words.review.note}</label>
      <input id="note" maxLength={64} required value={note} onInput={(e) => setNote(e.currentTarget.value)} />
      {order.refusal && <RefusalBox refusal={order.refusal} />}
      <p class="actions">
        <button class="main">{words.review.approve}</button>
      </p>
      {asking && (
        <ConfirmDialog
          title={words.review.approveTitle}
          action={words.review.approve}
          busy={order.busy}
          onClose={() => ask(false)}
          onAction={run}
        >
          <p>{words.review.approveText(analyst, words.unit.days(days))}</p>
        </ConfirmDialog>
      )}
    </form>
  );
}

function Reject(props: Deciding & { onSaid: (text: string) => void }): JSX.Element {
  const words = useWords();
  const [reason, setReason] = useState("");
  const [asking, ask] = useState(false);
  const order = useOrder();
  const run = () =>
    order.run(async () => {
      props.onDecide(true);
      const failed = (why: unknown) => {
        props.onDecide(false);
        throw why;
      };
      await reject(props.at, reason, props.me.name).catch(failed).finally(() => ask(false));
      props.onSaid(words.review.rejectedNow);
    });
  return (
    <form onSubmit={(event) => (event.preventDefault(), ask(true))}>
      <label for="reason">{words.review.reason}</label>
      <input id="reason" maxLength={500} required value={reason} onInput={(e) => setReason(e.currentTarget.value)} />
      {order.refusal && <RefusalBox refusal={order.refusal} />}
      <p class="actions">
        <button class="danger">{words.review.reject}</button>
      </p>
      {asking && (
        <ConfirmDialog
          title={words.review.rejectTitle}
          action={words.review.reject}
          danger
          busy={order.busy}
          onClose={() => ask(false)}
          onAction={run}
        >
          <p>{reason}</p>
        </ConfirmDialog>
      )}
    </form>
  );
}

/** A signature is made where the key is: the console never sees it. */
function ByOwnKey(props: Deciding): JSX.Element {
  const words = useWords();
  const command = `consilium approve --config SITE.toml ${short(props.at)} --days 30 --steward-key YOUR.key`;
  return (
    <>
      <p>{words.review.ownKeys}</p>
      <pre class="text" tabIndex={0}>
        {command.split(" ").map((word, i) => (
          <>
            {i > 0 && " "}
            <span class="word">{word}</span>
          </>
        ))}
      </pre>
      <p>
        <Copy text={command} />
      </p>
    </>
  );
}
