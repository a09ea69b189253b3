import { EVENTS, inbox, job, jobs } from "../api";
import type { Events, Job, Me } from "../api";

/** What is told of changes. */
export interface Told {
  job?: (job: Job) => void;
  inbox?: (state: Events["inbox"]) => void;
}

/** How often to ask where events do not come, and when to stop hoping for them. */
const POLL_MS = 3000;
const FAILURES = 3;

const listeners = new Set<Told>();
let source: EventSource | null = null;
let timer: ReturnType<typeof setInterval> | null = null;
let failures = 0;
/** Jobs that somebody looks at, by how many look: for polling. */
const looked = new Map<string, number>();

/** Begins to listen for changes: by events, or by asking where they fail. Returns how to stop. */
export function watch(me: Me): () => void {
  connect(me);
  return () => {
    source?.close();
    if (timer !== null) clearInterval(timer);
    [source, timer, failures] = [null, null, 0];
  };
}

/** Calls what is given on changes; `id` is a job to ask for when polling. Returns how to stop. */
export function listen(told: Told, id?: string): () => void {
  listeners.add(told);
  if (id !== undefined) looked.set(id, (looked.get(id) ?? 0) + 1);
  return () => {
    listeners.delete(told);
    if (id === undefined) return;
    const left = (looked.get(id) ?? 1) - 1;
    if (left > 0) looked.set(id, left);
    else looked.delete(id);
  };
}

function connect(me: Me): void {
  if (typeof EventSource === "undefined") return poll(me);
  source = new EventSource(EVENTS);
  source.onopen = () => (failures = 0);
  source.onerror = () => {
    failures += 1;
    // The browser tries again by itself, unless the node refused.
    if (failures < FAILURES && source?.readyState !== EventSource.CLOSED) return;
    source?.close();
    source = null;
    poll(me);
  };
  source.addEventListener("job", (event) => tell("job", JSON.parse((event as MessageEvent<string>).data)));
  source.addEventListener("inbox", (event) => tell("inbox", JSON.parse((event as MessageEvent<string>).data)));
}

function poll(me: Me): void {
  const once = async () => {
    if (me.roles.includes("analyst")) await newest();
    if (me.roles.includes("steward")) tell("inbox", { waiting: (await inbox()).items.length });
  };
  // A node that does not answer now may answer later.
  timer = setInterval(() => void once().catch(() => undefined), POLL_MS);
}

/** The newest jobs, and those that somebody looks at. */
async function newest(): Promise<void> {
  const { items } = await jobs();
  items.forEach((one) => tell("job", one));
  const older = [...looked.keys()].filter((id) => !items.some((one) => one.id === id));
  for (const id of older) tell("job", await job(id));
}

function tell<K extends keyof Events>(name: K, data: Events[K]): void {
  listeners.forEach((told) => (told[name] as ((data: Events[K]) => void) | undefined)?.(data));
}
