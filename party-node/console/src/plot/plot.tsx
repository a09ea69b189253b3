import type { JSX } from "preact";
import { useId, useState } from "preact/hooks";
import { useWidth } from "../ui/parts";
import { useWords } from "../words";
import { Bars, Histogram } from "./bars";
import { isNumeric } from "./cells";
import type { Sheet } from "./cells";
import { possible, suggest } from "./choose";
import type { Choice, PlotKind } from "./choose";
import { Forest } from "./forest";
import { Line } from "./line";
import { isTime, MAX_POINTS, points } from "./points";

/** An answer as a picture, with what may be chosen about it. */
export function PlotView(props: { sheet: Sheet; onDrawn: (svg: SVGSVGElement | null) => void }): JSX.Element {
  const words = useWords();
  const [suggested] = useState(() => suggest(props.sheet));
  const [choice, choose] = useState(suggested);
  const [box, width] = useWidth(640);
  if (suggested === null || choice === null) return <p>{words.result.nothingToPlot}</p>;
  return (
    <>
      <Choices sheet={props.sheet} choice={choice} onChoose={(next) => choose(fitting(next, choice, suggested))} />
      <div ref={box} class="plot">
        <div ref={(element) => props.onDrawn(element?.querySelector("svg") ?? null)}>
          <Drawing sheet={props.sheet} choice={drawnWith(choice)} width={width} />
        </div>
      </div>
      {unplaced(props.sheet, choice) > 0 && <p class="small">{words.result.unplaced(unplaced(props.sheet, choice))}</p>}
      {props.sheet.rows.length > MAX_POINTS && <p class="small">{words.result.tooMany(MAX_POINTS)}</p>}
    </>
  );
}

/** Rows that a plot along an axis cannot show: the key is NULL. */
function unplaced(sheet: Sheet, choice: Choice): number {
  const along = choice.kind === "line" || choice.kind === "histogram";
  return along ? points(sheet, choice).filter(({ x }) => x === null).length : 0;
}

/** Limits are those of one value: they go with it, and come back with the one that they were suggested for. */
export function fitting(next: Choice, before: Choice, suggested: Choice): Choice {
  if (next.y === before.y) return next;
  const [low, high] = next.y === suggested.y ? [suggested.low, suggested.high] : [null, null];
  return { ...next, low, high };
}

const hasLimits = ({ kind }: Choice): boolean => kind === "forest" || kind === "line";

/** Bars show no limits, so that these neither hide one nor stretch their axis. */
const drawnWith = (choice: Choice): Choice => (hasLimits(choice) ? choice : { ...choice, low: null, high: null });

function Drawing(props: { sheet: Sheet; choice: Choice; width: number }): JSX.Element {
  const words = useWords();
  const { sheet, choice, width } = props;
  const id = useId();
  const all = points(sheet, choice);
  const names = { x: sheet.columns[choice.x]!.name, y: sheet.columns[choice.y]!.name };
  const hidden = all.filter((point) => point.hidden !== null).length;
  const summary = words.result.summary(words.result.kinds[choice.kind], names.y, names.x, all.length, hidden);
  const drawn = { points: all, width: Math.max(width, 280), id, summary, names };
  switch (choice.kind) {
    case "bars":
      return <Bars {...drawn} />;
    case "histogram":
      return <Histogram {...drawn} />;
    case "line":
      return <Line {...drawn} time={isTime(sheet, choice)} />;
    case "forest":
      return <Forest {...drawn} log={choice.log} />;
  }
}

interface Choosing {
  sheet: Sheet;
  choice: Choice;
  onChoose: (choice: Choice) => void;
}

function Choices({ sheet, choice, onChoose }: Choosing): JSX.Element {
  const words = useWords();
  const numeric = sheet.columns.flatMap((column, i) => (isNumeric(column) ? [i] : []));
  const every = sheet.columns.map((_, i) => i);
  const pick = (name: "x" | "y" | "low" | "high", label: string, among: number[], empty: boolean) => (
    <label>
      {label}{" "}
      <select
        value={String(choice[name] ?? "")}
        onChange={(event) =>
          onChoose({ ...choice, [name]: event.currentTarget.value === "" ? null : Number(event.currentTarget.value) })
        }
      >
        {empty && <option value="">–</option>}
        {among.map((i) => (
          <option key={i} value={String(i)}>
            {sheet.columns[i]!.name}
          </option>
        ))}
      </select>
    </label>
  );
  const limits = hasLimits(choice);
  return (
    <div class="choices">
      <label>
        {words.result.kind}{" "}
        <select
          value={choice.kind}
          onChange={(event) => onChoose({ ...choice, kind: event.currentTarget.value as PlotKind })}
        >
          {possible(sheet, choice).map((kind) => (
            <option key={kind} value={kind}>
              {words.result.kinds[kind]}
            </option>
          ))}
        </select>
      </label>
      {pick("x", words.result.x, every, false)}
      {pick("y", words.result.y, numeric, false)}
      {limits && pick("low", words.result.low, numeric, true)}
      {limits && pick("high", words.result.high, numeric, true)}
      {choice.kind === "forest" && (
        <label class="check">
          <input type="checkbox" checked={choice.log} onChange={() => onChoose({ ...choice, log: !choice.log })} />{" "}
          {words.result.log}
        </label>
      )}
    </div>
  );
}
