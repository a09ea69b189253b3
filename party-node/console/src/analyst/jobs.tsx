import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { jobs } from "../api";
import type { Job, SiteState } from "../api";
import { listen } from "../api/watch";
import { short } from "../format";
import { to } from "../route";
import { Shown } from "../ui/load";
import { Ago, Badge, More, QueryLine, TableBox, Title, useListed } from "../ui/parts";
import type { Tone } from "../ui/parts";
import { useParts } from "../ui/parts_list";
import { known } from "../ui/refusal";
import { useWords } from "../words";

/** Everything that this analyst has asked. */
export function JobsPage(): JSX.Element {
  const words = useWords();
  const list = useParts(jobs, []);
  useEffect(
    () => listen({ job: (job) => list.value && list.set({ ...list.value, items: withJob(list.value.items, job) }) }),
    [list.value],
  );
  const head = [words.jobs.submitted, words.jobs.state, words.jobs.study, words.jobs.question];
  return (
    <>
      <Title>{words.jobs.title}</Title>
      <Shown of={list}>
        {(part) =>
          part.items.length === 0 ? (
            <p class="box">{words.jobs.empty}</p>
          ) : (
            <>
              <TableBox label={words.jobs.title} head={head} stack>
                {part.items.map((job) => (
                  <Row key={job.id} {...job} />
                ))}
              </TableBox>
              <More next={part.next} onMore={list.more} />
            </>
          )
        }
      </Shown>
    </>
  );
}

/** Of two states of a job the later one. */
export function later(a: Job, b: Job): Job {
  return b.revision >= a.revision ? b : a;
}

/** The list with a job as it is now; a new one comes first. */
export function withJob(items: Job[], job: Job): Job[] {
  const known = items.some(({ id }) => id === job.id);
  return known ? items.map((old) => (old.id === job.id ? later(old, job) : old)) : [job, ...items];
}

function Row(props: Job): JSX.Element {
  const words = useWords();
  return (
    <tr>
      <td>
        <a href={to("jobs", props.id)}>
          <Ago ms={props.submitted_ms} />
          <span class="unseen"> {short(props.id)}</span>
        </a>
      </td>
      <td>
        <JobState job={props} why />
      </td>
      <td data-label={words.jobs.study}>{props.study}</td>
      <td class="query">
        <QueryLine text={props.sql} />
      </td>
    </tr>
  );
}

const TONES: Record<Job["state"], Tone> = {
  waiting: "busy",
  queued: "busy",
  running: "busy",
  done: "good",
  failed: "bad",
  cancelled: "plain",
};

/** The state, and for whom the job waits or why it failed. */
export function JobState(props: { job: Job; why: boolean }): JSX.Element {
  const words = useWords();
  const listed = useListed();
  const { state, sites, refusal } = props.job;
  const waiting = sites.filter((site) => site.state === "waiting").map((site) => site.site);
  const reason = refusal && props.why ? (known(refusal.code, words) ?? refusal.message) : "";
  const text = state === "waiting" ? listed(waiting) : reason;
  return (
    <>
      <Badge tone={TONES[state]}>{words.jobStates[state]}</Badge>
      {text !== "" && <span class="small"> {text}</span>}
    </>
  );
}

export const SITE_TONES: Record<SiteState["state"], Tone> = {
  asked: "plain",
  waiting: "busy",
  rejected: "bad",
  approved: "good",
  running: "busy",
  done: "good",
  failed: "bad",
  silent: "bad",
};
