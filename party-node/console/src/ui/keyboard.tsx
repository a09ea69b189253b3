import type { JSX } from "preact";
import { useWords } from "../words";
import { Dialog } from "./dialog";

/** Every shortcut there is. */
export function KeyboardHelp(props: { onClose: () => void }): JSX.Element {
  const words = useWords();
  const keys: [string, string][] = [
    ["Tab, Shift+Tab", words.keys.next],
    ["Alt+Shift+1 … 9", words.keys.page],
    ["Ctrl+Space", words.keys.complete],
    ["Ctrl+Enter", words.keys.submit],
    ["← ↑ → ↓", words.keys.rows],
    ["Esc", words.keys.dialog],
  ];
  return (
    <Dialog title={words.keys.title} onClose={props.onClose}>
      <table>
        <thead>
          <tr>
            <th scope="col">{words.keys.key}</th>
            <th scope="col">{words.keys.does}</th>
          </tr>
        </thead>
        <tbody>
          {keys.map(([key, does]) => (
            <tr key={key}>
              <th scope="row">
                <kbd>{key}</kbd>
              </th>
              <td>{does}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p class="actions">
        <button type="button" class="main" onClick={props.onClose}>
          {words.shell.close}
        </button>
      </p>
    </Dialog>
  );
}
