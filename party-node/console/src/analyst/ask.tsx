import type { JSX } from "preact";
import { useRef, useState } from "preact/hooks";
import { catalog, submit } from "../api";
import type { Audience, Me, Noise, Plan } from "../api";
import { readPlanFile } from "../files/plan_file";
import { go } from "../route";
import { ConfirmDialog } from "../ui/dialog";
import { useLoad, useOrder } from "../ui/load";
import { Title, useListed } from "../ui/parts";
import { RefusalBox } from "../ui/refusal";
import { useWords } from "../words";
import { useDraft } from "./draft";
import type { Draft } from "./draft";
import { Editor } from "./editor";
import { EXAMPLES } from "./examples";
import { NoiseFields } from "./noise";
import { PlanPanel, refusing } from "./plan_panel";
import { usePlanning } from "./planning";

/** A question, its plan while it is typed, and its submission. */
export function AskPage(props: { me: Me; from: string[] }): JSX.Element {
  const words = useWords();
  const [draft, change] = useDraft(props.me);
  const tables = useLoad(catalog, []);
  const { sql, study, audience, noise, now_ms } = draft;
  const planning = usePlanning({ sql, study, audience, noise, now_ms });
  const [asking, ask] = useState(false);
  const order = useOrder();
  const { plan } = planning;
  const ready = plan !== null && refusing(plan).length === 0;
  const send = (of: Plan) =>
    order.run(async () => {
      const job = await submit({
        sql,
        study,
        audience,
        noise,
        now_ms: of.now_ms === 0 ? now_ms : of.now_ms,
        plan: of.digest,
      }).finally(() => ask(false));
      go("jobs", job.id);
    });
  return (
    <>
      <Title>{words.ask.title}</Title>
      <div class="columns ask">
        <form onSubmit={(event) => (event.preventDefault(), ready && ask(true))}>
          <Settings me={props.me} draft={draft} onChange={change} />
          <p class="label" id="sql-label">
            {words.ask.editor}
          </p>
          <Editor
            label={words.ask.editor}
            text={draft.sql}
            given={draft.given}
            catalog={tables.value}
            refusal={planning.refusal}
            onText={(sql) => change({ sql })}
            onSubmit={() => ready && ask(true)}
          />
          {order.refusal && <RefusalBox refusal={order.refusal} />}
          <p class="actions">
            <button class="main" disabled={!ready}>
              {words.ask.submit}
            </button>
          </p>
        </form>
        <PlanPanel planning={planning} file={draft.file?.of ?? null} empty={draft.sql.trim() === ""} />
      </div>
      {asking && plan && (
        <Confirm plan={plan} noise={noise} busy={order.busy} onClose={() => ask(false)} onAction={() => send(plan)} />
      )}
    </>
  );
}

interface Confirming {
  plan: Plan;
  noise: Noise | null;
  busy: boolean;
  onClose: () => void;
  onAction: () => void;
}

function Confirm(props: Confirming): JSX.Element {
  const words = useWords();
  const listed = useListed();
  const { plan, noise } = props;
  return (
    <ConfirmDialog title={words.ask.confirmTitle} action={words.ask.send} {...props}>
      <p>{words.ask.confirm(listed(plan.sites))}</p>
      <p>{words.ask.confirmReveals(plan.disclosures.length)}</p>
      {noise && <p>{words.ask.confirmNoise(noise.epsilon)}</p>}
      {plan.answer_at && <p>{words.ask.confirmSees(plan.answer_at)}</p>}
    </ConfirmDialog>
  );
}

interface Setting {
  me: Me;
  draft: Draft;
  onChange: (part: Partial<Draft>) => void;
}

function Settings({ me, draft, onChange }: Setting): JSX.Element {
  const words = useWords();
  const audiences: Audience[] = ["analyst", "everyone"];
  return (
    <div class="settings">
      <label>
        {words.ask.study}
        <select value={draft.study} onChange={(event) => onChange({ study: event.currentTarget.value })}>
          {me.studies.map(({ name }) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <label>
        {words.ask.audience}
        <select
          value={draft.audience}
          onChange={(event) => onChange({ audience: event.currentTarget.value as Audience })}
        >
          {audiences.map((audience) => (
            <option key={audience} value={audience}>
              {words.ask.audiences[audience]}
            </option>
          ))}
        </select>
      </label>
      <NoiseFields noise={draft.noise} onChange={(noise) => onChange({ noise })} />
      <label>
        {words.ask.example}
        <select
          value=""
          onChange={(event) =>
            onChange({
              sql: EXAMPLES[Number(event.currentTarget.value)]?.[1] ?? "",
              given: draft.given + 1,
              now_ms: null,
              file: null,
            })
          }
        >
          <option value="">{words.ask.choose}</option>
          {EXAMPLES.map(([name], i) => (
            <option key={name} value={String(i)} lang="en">
              {name}
            </option>
          ))}
        </select>
      </label>
      <OpenPlan draft={draft} onChange={onChange} />
    </div>
  );
}

/** A plan file brings its question, study, noise and time. */
function OpenPlan(props: { draft: Draft; onChange: (part: Partial<Draft>) => void }): JSX.Element {
  const words = useWords();
  const input = useRef<HTMLInputElement>(null);
  const [wrong, setWrong] = useState(false);
  const open = async (file: File | undefined) => {
    if (!file) return;
    const of = readPlanFile(await file.text());
    setWrong(of === null);
    if (of)
      props.onChange({
        sql: of.sql,
        given: props.draft.given + 1,
        study: of.study,
        audience: of.audience,
        noise: of.noise,
        now_ms: of.now_ms === 0 ? null : of.now_ms,
        file: { name: file.name, of },
      });
  };
  const { file } = props.draft;
  return (
    <div class="open">
      <input
        ref={input}
        type="file"
        accept=".json"
        hidden
        onChange={(event) => void open(event.currentTarget.files?.[0])}
      />
      <button type="button" onClick={() => input.current?.click()}>
        {words.ask.open}
      </button>
      {wrong && (
        <p role="alert" class="small">
          {words.ask.notPlanFile}
        </p>
      )}
      {file && (
        <p class="small">
          {words.ask.opened(file.name)}{" "}
          <button type="button" class="plain" onClick={() => props.onChange({ now_ms: null, file: null })}>
            {words.ask.clear}
          </button>
        </p>
      )}
    </div>
  );
}
