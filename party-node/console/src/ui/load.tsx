import type { ComponentChildren, JSX } from "preact";
import { useCallback, useEffect, useState } from "preact/hooks";
import { Refused } from "../api";
import type { Refusal } from "../api";
import { useWords } from "../words";
import { RefusalBox } from "./refusal";

/** Something that is on its way, here, or refused. What was here stays while it is loaded again. */
export interface Loaded<T> {
  value: T | null;
  refusal: Refusal | null;
  again: () => void;
  set: (value: T) => void;
}

/** Loads when the page opens and whenever something of `on` changes. `choose` says which of what was here and what comes stays. */
export function useLoad<T>(load: () => Promise<T>, on: unknown[], choose = (_: T, come: T): T => come): Loaded<T> {
  const [value, put] = useState<T | null>(null);
  const set = (come: T) => put((here) => (here === null ? come : choose(here, come)));
  const [refusal, refuse] = useState<Refusal | null>(null);
  const [times, count] = useState(0);
  useEffect(() => {
    let stale = false;
    const done = (found: T) => stale || (set(found), refuse(null));
    load().then(done, (error: unknown) => stale || refuse(refusalOf(error)));
    return () => void (stale = true);
  }, [...on, times]);
  return { value, refusal, again: () => count(times + 1), set };
}

/** Shows what is loaded; a refusal with a way to try again. */
export function Shown<T>(props: { of: Loaded<T>; children: (value: T) => ComponentChildren }): JSX.Element {
  const words = useWords();
  const { value, refusal, again } = props.of;
  return (
    <>
      {refusal && (
        <RefusalBox refusal={refusal}>
          <button type="button" onClick={again}>
            {words.shell.again}
          </button>
        </RefusalBox>
      )}
      {value !== null
        ? props.children(value)
        : refusal === null && (
            <p class="quiet" role="status">
              {words.shell.loading}
            </p>
          )}
    </>
  );
}

/** Something that the reader orders: runs one at a time, keeps the last refusal. */
export function useOrder(): { busy: boolean; refusal: Refusal | null; run: (work: () => Promise<unknown>) => void } {
  const [busy, setBusy] = useState(false);
  const [refusal, refuse] = useState<Refusal | null>(null);
  const run = useCallback((work: () => Promise<unknown>) => {
    setBusy(true);
    refuse(null);
    work()
      .catch((error: unknown) => refuse(refusalOf(error)))
      .finally(() => setBusy(false));
  }, []);
  return { busy, refusal, run };
}

export function refusalOf(error: unknown): Refusal {
  return error instanceof Refused ? error.refusal : { code: "INTERNAL", message: String(error) };
}
