import type { ComponentChildren, JSX } from "preact";
import type { Refusal } from "../api";
import { visible } from "../format";
import { useWords } from "../words";
import type { Words } from "../words";

/** A refusal in the reader's words where its code is known, with the node's own sentence and hint. */
export function RefusalBox(props: { refusal: Refusal; children?: ComponentChildren }): JSX.Element {
  const words = useWords();
  return (
    <div class="box bad" role="alert">
      <RefusalText refusal={props.refusal} title={words.shell.wrong} />
      {props.children}
    </div>
  );
}

/** The same without a box. */
export function RefusalText(props: { refusal: Refusal; title?: string }): JSX.Element {
  const words = useWords();
  const { code, message, hint, place } = props.refusal;
  return (
    <>
      <p>
        <strong>{known(code, words) ?? props.title ?? message}</strong>
      </p>
      <p class="small" lang="en">
        {place && `${words.ask.at(place.line, place.column)}: `}
        {visible(message)} <code class="quiet">{code}</code>
      </p>
      {hint && (
        <p class="small" lang="en">
          {visible(hint)}
        </p>
      )}
    </>
  );
}

export function known(code: string, words: Words): string | null {
  return Object.hasOwn(words.codes, code) ? words.codes[code as keyof Words["codes"]] : null;
}
