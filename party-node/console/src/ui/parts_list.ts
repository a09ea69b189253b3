import { useState } from "preact/hooks";
import type { Part } from "../api";
import { useLoad } from "./load";
import type { Loaded } from "./load";

/** A list that comes in parts: the first part, then what the reader asks for. */
export function useParts<T>(
  load: (from: number) => Promise<Part<T>>,
  on: unknown[],
): Loaded<Part<T>> & { more: (from: number) => void } {
  const first = useLoad(() => load(0), on);
  const [busy, setBusy] = useState(false);
  const more = (from: number) => {
    const before = first.value;
    if (busy || !before) return;
    setBusy(true);
    const joined = (part: Part<T>) => first.set({ items: [...before.items, ...part.items], next: part.next });
    void load(from)
      .then(joined, first.again)
      .finally(() => setBusy(false));
  };
  return { ...first, more };
}
