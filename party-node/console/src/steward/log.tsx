import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { log, LOG_EXPORT, verifyLog } from "../api";
import type { Verified } from "../api";
import { utc, whole } from "../format";
import { Shown, useOrder } from "../ui/load";
import { Facts, Hash, More, Section, Title } from "../ui/parts";
import { useParts } from "../ui/parts_list";
import { RefusalBox } from "../ui/refusal";
import { useWords } from "../words";
import { LogTable } from "./log_table";

/** The log: verified on request, downloaded for an auditor, and its lines. */
export function LogPage(): JSX.Element {
  const words = useWords();
  const [found, set] = useState<Verified | null>(null);
  const order = useOrder();
  const lines = useParts(log, []);
  const verify = () => (set(null), order.run(async () => set(await verifyLog())));
  return (
    <>
      <Title>{words.log.title}</Title>
      <p>{words.log.lead}</p>
      <p class="actions">
        <button type="button" class="main" disabled={order.busy} onClick={verify}>
          {order.busy ? words.log.verifying : words.log.verify}
        </button>
        <a class="button" href={LOG_EXPORT} download>
          {words.log.export}
        </a>
      </p>
      <div role="status">{found && <Stands {...found} />}</div>
      {order.refusal && <RefusalBox refusal={order.refusal} />}
      <Section title={words.log.recent}>
        <Shown of={lines}>
          {(part) => (
            <>
              <LogTable lines={part.items} />
              <More next={part.next} onMore={lines.more} />
            </>
          )}
        </Shown>
      </Section>
    </>
  );
}

function Stands(props: Verified): JSX.Element {
  const words = useWords();
  const { lines, times_ms, hash, keys } = props;
  return (
    <div class="box good">
      <p class="lead">✓ {words.log.stands}</p>
      <Facts
        of={[
          [words.log.lines(whole(lines)), times_ms ? words.log.fromTo(utc(times_ms[0]), utc(times_ms[1])) : ""],
          [words.log.last, <Hash digest={hash} whole />],
          [words.log.signed, keys.map((key) => <Hash key={key} digest={key} whole />)],
        ]}
      />
    </div>
  );
}
