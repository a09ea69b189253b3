import type { JSX } from "preact";
import type { LogLine } from "../api";
import { short, whole } from "../format";
import { Moment, TableBox } from "../ui/parts";
import { useWords } from "../words";

/** Lines of the log in words, with their fields. */
export function LogTable(props: { lines: LogLine[] }): JSX.Element {
  const words = useWords();
  return (
    <TableBox label={words.log.recent} head={[words.log.line, words.log.when, words.log.what]} numbers={[0]} stack>
      {props.lines.map(({ seq, at_ms, kind, about }) => (
        <tr key={seq}>
          <td class="number" data-label={words.log.line}>
            {whole(seq)}
          </td>
          <td>
            <Moment ms={at_ms} />
          </td>
          <td>
            {words.logKinds[kind]}
            <span class="about small">
              {Object.entries(about).map(([name, value]) => (
                <span key={name}>
                  <code>{name}</code> {clipped(value)}
                </span>
              ))}
            </span>
          </td>
        </tr>
      ))}
    </TableBox>
  );
}

/** A digest by its first digits; anything else whole. */
function clipped(value: string): JSX.Element | string {
  return /^[0-9a-f]{32,64}$/.test(value) ? <code title={value}>{short(value)}</code> : value;
}
