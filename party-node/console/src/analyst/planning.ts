import { useEffect, useState } from "preact/hooks";
import { isAbort, plan } from "../api";
import type { Plan, PlanRequest, Refusal } from "../api";
import { refusalOf } from "../ui/load";

/** How long the analyst must pause before the node plans. */
const PAUSE_MS = 400;

/** The plan of a question while it is typed. The last good plan stays until the next: the page does not jump. */
export interface Planning {
  busy: boolean;
  /** Of exactly this question; null while it is planned or where it is refused. */
  plan: Plan | null;
  /** The last one, for looking at. */
  last: Plan | null;
  refusal: Refusal | null;
}

const NOTHING: Planning = { busy: false, plan: null, last: null, refusal: null };

export function usePlanning(request: PlanRequest): Planning {
  const [state, set] = useState<Planning>(NOTHING);
  const { sql, study, audience, now_ms } = request;
  const noise = JSON.stringify(request.noise);
  useEffect(() => {
    if (sql.trim() === "") return set(NOTHING);
    const abort = new AbortController();
    set((before) => ({ ...before, busy: true, plan: null }));
    const planned = (found: Plan) => set({ busy: false, plan: found, last: found, refusal: null });
    const refused = (error: unknown) =>
      isAbort(error) || set((before) => ({ ...before, busy: false, plan: null, refusal: refusalOf(error) }));
    const timer = setTimeout(() => void plan(request, abort.signal).then(planned, refused), PAUSE_MS);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [sql, study, audience, now_ms, noise]);
  return state;
}
