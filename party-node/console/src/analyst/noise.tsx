import type { JSX } from "preact";
import type { Noise } from "../api";
import { useWords } from "../words";

/** What is put in when noise is chosen first: little, so that a mistake costs little. */
const FIRST: Noise = { epsilon: "0.1", mechanism: "laplace", delta_digits: null };
const KINDS = ["none", "laplace", "gaussian"] as const;

/** Whether and how every figure gets noise. */
export function NoiseFields(props: { noise: Noise | null; onChange: (noise: Noise | null) => void }): JSX.Element {
  const words = useWords();
  const { noise, onChange } = props;
  const choose = (kind: string) => {
    if (kind === "laplace") onChange({ ...(noise ?? FIRST), mechanism: kind, delta_digits: null });
    else if (kind === "gaussian") onChange({ ...(noise ?? FIRST), mechanism: kind });
    else onChange(null);
  };
  return (
    <>
      <label>
        {words.ask.noise}
        <select value={noise?.mechanism ?? "none"} onChange={(event) => choose(event.currentTarget.value)}>
          {KINDS.map((kind) => (
            <option key={kind} value={kind}>
              {words.ask.noises[kind]}
            </option>
          ))}
        </select>
      </label>
      {noise && (
        <label>
          {words.ask.epsilon}
          <input
            inputMode="decimal"
            value={noise.epsilon}
            onInput={(event) => onChange({ ...noise, epsilon: event.currentTarget.value.trim() })}
          />
        </label>
      )}
      {noise?.mechanism === "gaussian" && (
        <label>
          {words.ask.deltaDigits}
          <input
            type="number"
            min="3"
            max="18"
            value={noise.delta_digits ?? ""}
            onInput={(event) => onChange({ ...noise, delta_digits: digits(event.currentTarget.value) })}
          />
        </label>
      )}
      {noise && <p class="small quiet">{words.ask.noiseLead}</p>}
    </>
  );
}

function digits(text: string): number | null {
  const n = Number.parseInt(text, 10);
  return Number.isSafeInteger(n) && n >= 0 ? n : null;
}
