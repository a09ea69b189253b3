import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { dryRun } from "../api";
import type { DryRun } from "../api";
import { whole } from "../format";
import { useOrder } from "../ui/load";
import { TableBox } from "../ui/parts";
import { RefusalBox } from "../ui/refusal";
import { useWords } from "../words";

/** The site's own rows for a plan, counted on request. */
export function DryRunBox(props: { plan: string }): JSX.Element {
  const words = useWords();
  const [found, set] = useState<DryRun | null>(null);
  const order = useOrder();
  return (
    <>
      <p>{words.review.ownLead}</p>
      <p>
        <button
          type="button"
          disabled={order.busy}
          onClick={() => order.run(async () => set(await dryRun(props.plan)))}
        >
          {order.busy ? words.review.counting : words.review.dryRun}
        </button>
      </p>
      {order.refusal && <RefusalBox refusal={order.refusal} />}
      <div role="status">{found && <Counts {...found} />}</div>
    </>
  );
}

function Counts(props: DryRun): JSX.Element {
  const words = useWords();
  const { counts, untold } = words.review;
  const told = (n: number | null) => (n === null ? untold : whole(n));
  return (
    <>
      <p>{props.refused ? `${words.review.refused}: ${props.refused}` : words.review.allowed}</p>
      <TableBox
        label={words.review.own}
        numbers={[1, 2, 3, 4]}
        head={["", counts.rows, counts.groups, counts.patients, counts.excluded]}
      >
        {props.sums.map((sum, i) => (
          <tr key={i}>
            <th scope="row">{words.review.sum(i)}</th>
            <td class="number">{whole(sum.rows)}</td>
            <td class="number">{told(sum.groups)}</td>
            <td class="number">{told(sum.patients)}</td>
            <td class="number">{whole(sum.excluded)}</td>
          </tr>
        ))}
      </TableBox>
    </>
  );
}
