import type { JSX } from "preact";
import { checkPeers, peers } from "../api";
import type { Me, Peer } from "../api";
import { Shown, useLoad, useOrder } from "../ui/load";
import { Ago, Badge, Facts, Hash, TableBox, Title } from "../ui/parts";
import type { Tone } from "../ui/parts";
import { RefusalBox, RefusalText } from "../ui/refusal";
import { useWords } from "../words";

/** How the other sites are, as this node last met them. */
export function NetworkPage(props: { me: Me }): JSX.Element {
  const words = useWords();
  const loaded = useLoad(peers, []);
  const order = useOrder();
  const head = [
    words.network.site,
    words.network.state,
    words.network.answered,
    words.network.trip,
    words.network.clock,
    words.network.version,
    words.network.file,
    words.network.pin,
  ];
  return (
    <>
      <Title>{words.network.title}</Title>
      <p class="actions">
        <button
          type="button"
          class="main"
          disabled={order.busy}
          onClick={() => order.run(async () => loaded.set(await checkPeers()))}
        >
          {order.busy ? words.network.checking : words.network.check}
        </button>
      </p>
      {order.refusal && <RefusalBox refusal={order.refusal} />}
      <Shown of={loaded}>
        {(sites) => (
          <TableBox label={words.network.title} head={head} stack numbers={[3]}>
            {sites.map((peer) => (
              <Row key={peer.site} {...peer} />
            ))}
          </TableBox>
        )}
      </Shown>
      <Facts of={[[words.network.digest, <Hash digest={props.me.network} whole />]]} />
    </>
  );
}

const TONES: Record<Peer["state"], Tone> = { well: "good", silent: "bad", wrong: "bad" };

function Row(props: Peer): JSX.Element {
  const words = useWords();
  const same =
    props.same_network === null ? words.network.unknown : props.same_network ? words.network.same : words.network.other;
  return (
    <tr>
      <th scope="row">
        {props.site}
        <br />
        <code class="small quiet">{props.address}</code>
      </th>
      <td>
        <Badge tone={TONES[props.state]}>{words.network[props.state]}</Badge>
        {props.refusal && <RefusalText refusal={props.refusal} />}
      </td>
      <td data-label={words.network.answered}>
        {props.answered_ms === null ? words.network.never : <Ago ms={props.answered_ms} />}
      </td>
      <td class="number" data-label={words.network.trip}>
        {props.round_trip_ms === null ? "–" : `${props.round_trip_ms} ms`}
      </td>
      <td data-label={words.network.clock}>
        <Clock ms={props.clock_ms} />
      </td>
      <td data-label={words.network.version}>{props.version ?? words.network.unknown}</td>
      <td data-label={words.network.file}>{same}</td>
      <td data-label={words.network.pin}>
        <Hash digest={props.pin} />
      </td>
    </tr>
  );
}

/** Clocks that differ by less than a second do not matter: approvals last days. */
function Clock(props: { ms: number | null }): JSX.Element {
  const { network } = useWords();
  if (props.ms === null) return <>{network.unknown}</>;
  const text = `${(Math.abs(props.ms) / 1000).toFixed(1)} s`;
  if (Math.abs(props.ms) < 1000) return <>{network.together}</>;
  return <Badge tone="busy">{props.ms > 0 ? network.ahead(text) : network.behind(text)}</Badge>;
}
