import type { JSX } from "preact";
import { useRef, useState } from "preact/hooks";
import { answer } from "../api";
import type { Answer, Job } from "../api";
import { csv } from "../files/csv";
import { answerJson } from "../files/json";
import { onPaper } from "../files/paper";
import { save } from "../files/save";
import { short } from "../format";
import { hiddenCells, isNumeric, sheet, shown } from "../plot/cells";
import type { Cell, Sheet } from "../plot/cells";
import { suggest } from "../plot/choose";
import { PlotView } from "../plot/plot";
import { DisclosureList } from "../picture/disclosures";
import { Shown, useLoad } from "../ui/load";
import { TableBox } from "../ui/parts";
import { useWords } from "../words";

/** Rows of the table before the reader asks for all. */
const FIRST_ROWS = 200;

/** The answer as plot, table and files. */
export function ResultView(props: { job: Job }): JSX.Element {
  const loaded = useLoad(() => whole(props.job.id), [props.job.id]);
  return <Shown of={loaded}>{(parts) => <Body job={props.job} parts={parts} />}</Shown>;
}

/** All parts of an answer, one after the other. */
async function whole(id: string): Promise<Answer[]> {
  const parts: Answer[] = [];
  for (let from: number | null = 0; from !== null; from = parts.at(-1)!.next) parts.push(await answer(id, from));
  return parts;
}

function Body({ job, parts }: { job: Job; parts: Answer[] }): JSX.Element {
  const words = useWords();
  const [all] = useState(() => sheet(parts));
  const [plotted, plot] = useState(() => suggest(all) !== null);
  const svg = useRef<SVGSVGElement | null>(null);
  const hidden = hiddenCells(all);
  const name = `consilium-${short(job.id)}`;
  const { disclosures, cost } = parts[0]!;
  const svgText = () => svg.current && onPaper(new XMLSerializer().serializeToString(svg.current));
  return (
    <>
      <div class="tabs">
        <button type="button" aria-pressed={plotted} onClick={() => plot(true)}>
          {words.result.plot}
        </button>
        <button type="button" aria-pressed={!plotted} onClick={() => plot(false)}>
          {words.result.table}
        </button>
        <span class="quiet small">{words.result.rows(all.rows.length)}</span>
      </div>
      {hidden > 0 && (
        <p class="box busy">
          <HiddenSign /> {words.result.hidden(hidden)}
        </p>
      )}
      {plotted ? <PlotView sheet={all} onDrawn={(element) => (svg.current = element)} /> : <AnswerTable sheet={all} />}
      <p class="actions">
        <span>{words.result.download}:</span>
        <button type="button" onClick={() => save(`${name}.csv`, "text/csv", csv(all))}>
          CSV
        </button>
        <button
          type="button"
          onClick={() => save(`${name}.json`, "application/json", answerJson(all, disclosures, cost))}
        >
          JSON
        </button>
        {plotted && suggest(all) !== null && (
          <button type="button" onClick={() => save(`${name}.svg`, "image/svg+xml", svgText() ?? "")}>
            SVG
          </button>
        )}
      </p>
      <details>
        <summary>{words.picture.title}</summary>
        <DisclosureList of={disclosures} />
      </details>
    </>
  );
}

/** What a hidden cell looks like, in the table and in plots. */
function HiddenSign(): JSX.Element {
  return (
    <svg class="sign" width="16" height="16" aria-hidden="true">
      <path d="M0 8 8 0M0 16 16 0M8 16 16 8" stroke="currentColor" stroke-width="1.5" />
    </svg>
  );
}

function AnswerTable(props: { sheet: Sheet }): JSX.Element {
  const words = useWords();
  const { columns, rows } = props.sheet;
  const [all, showAll] = useState(false);
  const numbers = columns.flatMap((column, i) => (isNumeric(column) ? [i] : []));
  return (
    <>
      <TableBox label={words.result.title} head={columns.map(({ name }) => name)} numbers={numbers}>
        {(all ? rows : rows.slice(0, FIRST_ROWS)).map((row, i) => (
          <tr key={i}>
            {row.map((cell, at) => (
              <CellView key={at} cell={cell} sheet={props.sheet} at={at} />
            ))}
          </tr>
        ))}
      </TableBox>
      {!all && rows.length > FIRST_ROWS && (
        <p>
          <button type="button" onClick={() => showAll(true)}>
            {words.result.all}
          </button>
        </p>
      )}
    </>
  );
}

function CellView({ cell, sheet, at }: { cell: Cell; sheet: Sheet; at: number }): JSX.Element {
  const words = useWords();
  const column = sheet.columns[at]!;
  const side = isNumeric(column) ? "number" : "";
  switch (cell.is) {
    case "null":
      return <td class={`${side} quiet`}>{words.result.null}</td>;
    case "hidden":
      return (
        <td class={`${side} hidden-cell`} title={words.result.hiddenCell}>
          {cell.label}
          <span class="unseen"> {words.result.hiddenCell}</span>
        </td>
      );
    case "value":
      return (
        <td class={side} title={cell.text}>
          {shown(cell.text, column)}
        </td>
      );
  }
}
