import { acceptCompletion, autocompletion, closeBrackets, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { bracketMatching, syntaxHighlighting } from "@codemirror/language";
import { setDiagnostics } from "@codemirror/lint";
import { Compartment, EditorState, Prec } from "@codemirror/state";
import type { Text } from "@codemirror/state";
import { drawSelection, EditorView, keymap, lineNumbers } from "@codemirror/view";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { Catalog, Place, Refusal } from "../api";
import { sqlOf } from "./editor_sql";
import { colours, theme } from "./editor_theme";

interface Editing {
  label: string;
  text: string;
  /** Changes when the text comes from elsewhere. What the analyst types is never put back: it may be older than what is there. */
  given: number;
  catalog: Catalog | null;
  /** What is wrong, marked at its place. */
  refusal: Refusal | null;
  onText: (text: string) => void;
  onSubmit: () => void;
}

/** The SQL editor. It lives in a shadow root: only there it takes its styles as objects, which the page's CSP allows. */
export function Editor(props: Editing): JSX.Element {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const language = useRef(new Compartment());
  const latest = useRef(props);
  latest.current = props;

  useEffect(() => {
    if (!host.current) return;
    const root = host.current.shadowRoot ?? host.current.attachShadow({ mode: "open", delegatesFocus: true });
    const state = EditorState.create({
      doc: props.text,
      extensions: [...extensions(latest), language.current.of(sqlOf(props.catalog))],
    });
    view.current = new EditorView({ state, parent: root, root });
    return () => view.current?.destroy();
  }, []);

  useEffect(() => {
    const current = view.current;
    if (!current || current.state.doc.toString() === props.text) return;
    current.dispatch({ changes: { from: 0, to: current.state.doc.length, insert: props.text } });
  }, [props.given]);

  useEffect(
    () => view.current?.dispatch({ effects: language.current.reconfigure(sqlOf(props.catalog)) }),
    [props.catalog],
  );

  useEffect(() => {
    const current = view.current;
    if (current) current.dispatch(setDiagnostics(current.state, marks(props.refusal, current.state.doc)));
  }, [props.refusal]);

  return <div ref={host} class="editor" />;
}

function extensions(latest: { current: Editing }) {
  const submit = { key: "Mod-Enter", run: () => (latest.current.onSubmit(), true) };
  return [
    lineNumbers(),
    history(),
    drawSelection(),
    bracketMatching(),
    closeBrackets(),
    autocompletion({ icons: false }),
    syntaxHighlighting(colours),
    theme,
    EditorView.lineWrapping,
    EditorView.contentAttributes.of({ "aria-label": latest.current.label, spellcheck: "false" }),
    Prec.highest(keymap.of([submit, { key: "Enter", run: acceptCompletion }])),
    // No Tab: it moves the focus on, as everywhere.
    keymap.of([...completionKeymap, ...historyKeymap, ...defaultKeymap]),
    EditorView.updateListener.of((update) => {
      if (update.docChanged) latest.current.onText(update.state.doc.toString());
    }),
  ];
}

function marks(refusal: Refusal | null, doc: Text) {
  if (!refusal?.place) return [];
  const { from, to } = range(refusal.place, doc);
  return [{ from, to, severity: "error" as const, message: refusal.message }];
}

/** From a place to the end of the word there. */
export function range(place: Place, doc: Text): { from: number; to: number } {
  const line = doc.line(Math.min(Math.max(place.line, 1), doc.lines));
  // The node counts Unicode scalar values; the editor counts UTF-16 units.
  const before = [...line.text].slice(0, place.column - 1).join("").length;
  const from = Math.min(line.from + before, line.to);
  const word = /^[\p{L}\p{N}_.]+/u.exec(doc.sliceString(from, line.to));
  return { from, to: Math.min(from + (word?.[0].length ?? 1), line.to) };
}
