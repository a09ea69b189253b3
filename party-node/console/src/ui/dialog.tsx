import type { ComponentChildren, JSX } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { useWords } from "../words";

/** A modal dialog: the browser keeps the focus inside, Esc closes it, and the focus returns to where it was. */
export function Dialog(props: { title: string; onClose: () => void; children: ComponentChildren }): JSX.Element {
  const [box, id] = [useRef<HTMLDialogElement>(null), useId()];
  useEffect(() => {
    const dialog = box.current;
    const before = document.activeElement;
    dialog?.showModal();
    return () => {
      dialog?.close();
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  return (
    <dialog ref={box} aria-labelledby={id} onCancel={(event) => (event.preventDefault(), props.onClose())}>
      <h2 id={id} tabIndex={-1}>
        {props.title}
      </h2>
      {props.children}
    </dialog>
  );
}

interface Confirm {
  title: string;
  action: string;
  keep?: string;
  danger?: boolean;
  busy: boolean;
  onClose: () => void;
  onAction: () => void;
  children: ComponentChildren;
}

/** Asks before something that cannot be taken back. */
export function ConfirmDialog(props: Confirm): JSX.Element {
  const words = useWords();
  return (
    <Dialog title={props.title} onClose={props.onClose}>
      {props.children}
      <p class="actions">
        <button type="button" class={props.danger ? "danger" : "main"} disabled={props.busy} onClick={props.onAction}>
          {props.action}
        </button>
        <button type="button" onClick={props.onClose}>
          {props.keep ?? words.shell.cancel}
        </button>
      </p>
    </Dialog>
  );
}
