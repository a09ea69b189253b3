import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { cancel, job as jobOf } from "../api";
import type { Job, RunningStep, SiteState, WaitsFor } from "../api";
import { listen } from "../api/watch";
import { planFile } from "../files/plan_file";
import { save } from "../files/save";
import { bytes, seconds, short, utc } from "../format";
import { go, to } from "../route";
import { ConfirmDialog } from "../ui/dialog";
import { Shown, useLoad, useOrder } from "../ui/load";
import { Ago, Badge, Facts, Hash, Moment, Section, Sql, Title, useListed } from "../ui/parts";
import { RefusalBox, RefusalText } from "../ui/refusal";
import { stepKind } from "../step_kind";
import { useWords } from "../words";
import type { Words } from "../words";
import { begin } from "./draft";
import { JobState, later, SITE_TONES } from "./jobs";
import { ResultView } from "./result";

/** One job: where it stands at each site, then its answer. */
export function JobPage(props: { id: string }): JSX.Element {
  const words = useWords();
  const loaded = useLoad(() => jobOf(props.id), [props.id], later);
  useEffect(() => listen({ job: (job) => job.id === props.id && loaded.set(job) }, props.id), [props.id]);
  return (
    <>
      <p>
        <a href={to("jobs")}>← {words.shell.jobs}</a>
      </p>
      <Title>{words.jobs.one(short(props.id))}</Title>
      <Shown of={loaded}>{(job) => <Body job={job} onJob={loaded.set} />}</Shown>
    </>
  );
}

function Body({ job, onJob }: { job: Job; onJob: (job: Job) => void }): JSX.Element {
  const words = useWords();
  const unfinished = ["waiting", "queued", "running"].includes(job.state);
  return (
    <>
      <p class="lead" role="status">
        <JobState job={job} why={false} />
      </p>
      {job.refusal && (
        <div class="box bad">
          <RefusalText refusal={job.refusal} />
        </div>
      )}
      {job.state === "done" && (
        <Section title={words.result.title}>
          <ResultView job={job} />
        </Section>
      )}
      <Section title={words.jobs.sites}>
        <ul class="sites">
          {job.sites.map((site) => (
            <SiteCard key={site.site} {...site} />
          ))}
        </ul>
        {job.cost && (
          <p>
            {words.jobs.cost(
              words.unit.rounds(job.cost.rounds),
              bytes(job.cost.bytes, words),
              seconds(job.cost.wall_ms),
            )}
          </p>
        )}
        {job.kept_until_ms !== null && <p class="small quiet">{words.jobs.kept(utc(job.kept_until_ms))}</p>}
      </Section>
      <Section title={words.jobs.question2}>
        <Sql text={job.sql} />
        <Facts
          of={[
            [words.jobs.study, job.study],
            [words.jobs.submitted, <Moment ms={job.submitted_ms} />],
            [words.review.digest, <Hash digest={job.plan} whole />],
          ]}
        />
        <Actions job={job} unfinished={unfinished} onJob={onJob} />
      </Section>
    </>
  );
}

function SiteCard(props: SiteState): JSX.Element {
  const words = useWords();
  const listed = useListed();
  const { site, state, since_ms, waits_for, step, refusal } = props;
  return (
    <li class="box">
      <p>
        <strong>{site}</strong> <Badge tone={SITE_TONES[state]}>{words.siteStates[state]}</Badge>
      </p>
      {waits_for && <p class="small">{waited(waits_for, words, listed).join(words.jobs.and)}</p>}
      {step && (
        <>
          <progress {...within(step)} aria-label={words.jobs.round(step.round, bound(step))} />
          <p class="small">
            {words.jobs.round(step.round, bound(step))}: {words.stepKinds[stepKind(step.path)]}
            <br />
            <code class="quiet">{step.path}</code>
          </p>
        </>
      )}
      {refusal && <RefusalText refusal={refusal} />}
      <p class="small quiet">
        <Ago ms={since_ms} />
        {props.bytes > 0 && ` · ${words.jobs.sent(bytes(props.bytes, words))}`}
      </p>
    </li>
  );
}

/** For whom a site waits. Who has said yes it does not always tell. */
function waited({ plan, needs, consents }: WaitsFor, words: Words, listed: (names: string[]) => string): string[] {
  const two = needs > 1 ? [words.jobs.waitsForTwo] : [];
  const said = consents.length > 0 ? [words.jobs.saidYes(listed(consents))] : [];
  return [words.jobs.waitsFor(plan), ...two, ...said];
}

/** The plan's bound, as long as it is one: rounds of work on shares are not known before. */
const bound = ({ round, rounds }: RunningStep): number | null => (round <= rounds ? rounds : null);
/** Without a bound the bar says only that something goes on. */
const within = (step: RunningStep) => (bound(step) === null ? {} : { max: step.rounds, value: step.round });

function Actions({
  job,
  unfinished,
  onJob,
}: {
  job: Job;
  unfinished: boolean;
  onJob: (job: Job) => void;
}): JSX.Element {
  const words = useWords();
  const [asking, ask] = useState(false);
  const order = useOrder();
  const stop = () => order.run(async () => onJob(await cancel(job.id).finally(() => ask(false))));
  const again = () => {
    begin({ sql: job.sql, audience: job.audience, noise: job.noise, study: job.study });
    go("ask");
  };
  const plan = () =>
    save(`consilium-${short(job.id)}.plan.json`, "application/json", `${JSON.stringify(planFile(job), null, 2)}\n`);
  return (
    <>
      <p class="actions">
        <button type="button" onClick={plan}>
          {words.jobs.planFile}
          <span class="small"> ({words.jobs.planFileLead})</span>
        </button>
        <button type="button" onClick={again}>
          {words.jobs.askAgain}
        </button>
        {unfinished && (
          <button type="button" class="danger" onClick={() => ask(true)}>
            {words.jobs.cancel}
          </button>
        )}
      </p>
      {order.refusal && <RefusalBox refusal={order.refusal} />}
      {asking && (
        <ConfirmDialog
          title={words.jobs.cancelTitle}
          action={words.jobs.cancel}
          keep={words.jobs.keep}
          danger
          busy={order.busy}
          onClose={() => ask(false)}
          onAction={stop}
        >
          <p>{words.jobs.cancelText}</p>
        </ConfirmDialog>
      )}
    </>
  );
}
