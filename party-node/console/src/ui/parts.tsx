import type { ComponentChildren, JSX } from "preact";
import { useContext, useEffect, useId, useRef, useState } from "preact/hooks";
import type { Millis } from "../api";
import { ago, short, utc, visible } from "../format";
import { Spoken, useWords } from "../words";

/** Has a page been shown? The first one leaves the focus where the browser puts it, before the link that skips the menu. */
let opened = false;

/** The heading of a page; takes the focus when another page opens, so that readers hear where they are. */
export function Title(props: { children: string }): JSX.Element {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${props.children} · Consilium`;
    if (opened) heading.current?.focus();
    opened = true;
  }, [props.children]);
  return (
    <h1 ref={heading} tabIndex={-1}>
      {props.children}
    </h1>
  );
}

export function Section(props: { title: string; children: ComponentChildren; class?: string }): JSX.Element {
  const id = useId();
  return (
    <section aria-labelledby={id} class={props.class ?? ""}>
      <h2 id={id}>{props.title}</h2>
      {props.children}
    </section>
  );
}

/** SQL as it was asked: in one piece, never translated. */
export function Sql(props: { text: string }): JSX.Element {
  return (
    <pre class="sql" lang="en" translate={false} tabIndex={0}>
      <code>{visible(props.text)}</code>
    </pre>
  );
}

/** A question in a list: its first lines. */
export function QueryLine(props: { text: string }): JSX.Element {
  return (
    <code class="small" translate={false}>
      {visible(props.text)}
    </code>
  );
}

/** The whole plan as the engine writes it. */
export function PlanText(props: { text: string }): JSX.Element {
  return (
    <pre class="text" lang="en" tabIndex={0}>
      {visible(props.text)}
    </pre>
  );
}

/** A name in code. */
export function Name(props: { children: string }): JSX.Element {
  return <code translate={false}>{props.children}</code>;
}

/** A moment: how long ago, and exactly. */
export function Ago(props: { ms: Millis }): JSX.Element {
  const words = useWords();
  return (
    <time dateTime={new Date(props.ms).toISOString()} title={utc(props.ms)}>
      {ago(props.ms, Date.now(), words)}
    </time>
  );
}

export function Moment(props: { ms: Millis }): JSX.Element {
  return <time dateTime={new Date(props.ms).toISOString()}>{utc(props.ms)}</time>;
}

/** The first digits of a digest, the rest on request. */
export function Hash(props: { digest: string; whole?: boolean }): JSX.Element {
  return (
    <code class="hash" title={props.digest}>
      {props.whole ? props.digest : short(props.digest)}
    </code>
  );
}

export type Tone = "good" | "bad" | "busy" | "plain";

/** A state in a word; its colour says the same again. */
export function Badge(props: { tone: Tone; children: ComponentChildren }): JSX.Element {
  return <span class={`badge ${props.tone}`}>{props.children}</span>;
}

/** Terms and what they mean, in two columns. */
export function Facts(props: { of: [string, ComponentChildren][] }): JSX.Element {
  return (
    <dl class="facts">
      {props.of.map(([term, what]) => (
        <div key={term}>
          <dt>{term}</dt>
          <dd>{what}</dd>
        </div>
      ))}
    </dl>
  );
}

/** A table that scrolls by itself where it is too wide, also with the keyboard. `stack`: on a phone its cells stand below each other. */
export function TableBox(props: {
  label: string;
  head: string[];
  children: ComponentChildren;
  numbers?: number[];
  stack?: boolean;
}): JSX.Element {
  return (
    <div class="scroll" role="group" aria-label={props.label} tabIndex={0}>
      <table class={props.stack ? "stack" : ""}>
        <thead>
          <tr>
            {props.head.map((name, i) =>
              name === "" ? (
                <td key={i} />
              ) : (
                <th key={i} scope="col" class={props.numbers?.includes(i) ? "number" : ""}>
                  {name}
                </th>
              ),
            )}
          </tr>
        </thead>
        <tbody>{props.children}</tbody>
      </table>
    </div>
  );
}

/** How much of a limit is used. */
export function Gauge(props: { label: string; text: string; used: number; of: number }): JSX.Element {
  const id = useId();
  const full = props.used >= props.of;
  return (
    <div class="gauge">
      <span id={id}>{props.label}</span>
      <meter
        aria-labelledby={id}
        min={0}
        max={Math.max(props.of, 1)}
        value={props.used}
        high={props.of * 0.8}
        optimum={0}
        class={full ? "full" : ""}
      >
        {props.text}
      </meter>
      <span class="small">{props.text}</span>
    </div>
  );
}

/** A list in parts: shows what came and asks for the next part. */
export function More(props: { next: number | null; onMore: (from: number) => void }): JSX.Element | null {
  const words = useWords();
  const { next } = props;
  return next === null ? null : (
    <p>
      <button type="button" onClick={() => props.onMore(next)}>
        {words.shell.more}
      </button>
    </p>
  );
}

/** Puts a text where it can be pasted. */
export function Copy(props: { text: string }): JSX.Element {
  const words = useWords();
  const [done, set] = useState(false);
  const copy = () => void navigator.clipboard.writeText(props.text).then(() => set(true));
  return (
    <button type="button" class="small" onClick={copy}>
      {done ? words.shell.copied : words.shell.copy}
    </button>
  );
}

/** Names joined as the language joins them. */
export function useListed(): (names: string[]) => string {
  const language = useContext(Spoken);
  return (names) => names.join(language === "zh" ? "、" : ", ");
}

/** The width of a box, for pictures that are laid out anew instead of shrunk. */
export function useWidth(first: number): [{ current: HTMLDivElement | null }, number] {
  const box = useRef<HTMLDivElement>(null);
  const [width, set] = useState(first);
  useEffect(() => {
    if (!box.current) return;
    const observer = new ResizeObserver(
      ([entry]) => entry && entry.contentRect.width > 0 && set(Math.round(entry.contentRect.width)),
    );
    observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  return [box, width];
}
