import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { login } from "../api";
import type { Language, Me } from "../api";
import { useWords } from "../words";
import { useOrder } from "./load";
import { Title } from "./parts";
import { RefusalBox } from "./refusal";
import { Languages } from "./shell";

interface Login {
  language: Language;
  onLanguage: (language: Language) => void;
  onLogin: (me: Me) => void;
}

/** The only page without a session. The token is not kept anywhere but in the request. */
export function LoginPage(props: Login): JSX.Element {
  const words = useWords();
  const [token, setToken] = useState("");
  const order = useOrder();
  const enter = (event: Event) => {
    event.preventDefault();
    order.run(async () => props.onLogin(await login(token.trim())));
  };
  return (
    <main class="login">
      <p class="brand">
        <img src="icon.svg" alt="" width="32" height="32" /> Consilium
      </p>
      <Title>{words.login.title}</Title>
      <form onSubmit={enter}>
        <label for="token">{words.login.token}</label>
        <input
          id="token"
          type="password"
          autocomplete="off"
          required
          spellcheck={false}
          value={token}
          aria-describedby="how"
          onInput={(event) => setToken(event.currentTarget.value)}
        />
        <p id="how" class="small">
          {words.login.how.split("`").map((part, i) => (i % 2 === 1 ? <code>{part}</code> : part))}
        </p>
        {order.refusal && <RefusalBox refusal={order.refusal} />}
        <p class="actions">
          <button class="main" disabled={order.busy}>
            {words.login.enter}
          </button>
        </p>
      </form>
      <Languages language={props.language} onLanguage={props.onLanguage} />
    </main>
  );
}
