import { render } from "preact";
import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { LOGGED_OUT, logout, me as whoAmI, speak } from "./api";
import type { Language, Me } from "./api";
import { listen, watch } from "./api/watch";
import { pageOf, pagesOf } from "./pages";
import { useRoute } from "./route";
import { LoginPage } from "./ui/login";
import { Shell } from "./ui/shell";
import { dictionaries, firstLanguage, remember, Spoken } from "./words";

function Console(): JSX.Element {
  const [language, setLanguage] = useState<Language>(firstLanguage);
  // Undefined until the node has said whether somebody is logged in.
  const [me, setMe] = useState<Me | null | undefined>(undefined);
  useMemo(() => speak(language), [language]);
  useEffect(() => {
    remember(language);
    document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
  }, [language]);
  useEffect(() => {
    whoAmI().then(setMe, () => setMe(null));
    const out = () => setMe(null);
    addEventListener(LOGGED_OUT, out);
    return () => removeEventListener(LOGGED_OUT, out);
  }, []);
  const spoken = { language, onLanguage: setLanguage };
  return (
    <Spoken.Provider value={language}>
      {me === undefined && (
        <main>
          <p class="quiet" role="status">
            {dictionaries[language].shell.loading}
          </p>
        </main>
      )}
      {me === null && <LoginPage {...spoken} onLogin={setMe} />}
      {me && <Inside {...spoken} me={me} onLogout={() => void logout().finally(() => setMe(null))} />}
    </Spoken.Provider>
  );
}

interface Session {
  me: Me;
  language: Language;
  onLanguage: (language: Language) => void;
  onLogout: () => void;
}

function Inside(props: Session): JSX.Element {
  const { me, language } = props;
  const [waiting, setWaiting] = useState(0);
  const route = useRoute();
  useEffect(() => watch(me), [me]);
  useEffect(() => listen({ inbox: (state) => setWaiting(state.waiting) }), []);
  const pages = useMemo(() => pagesOf(me, waiting), [me, waiting]);
  const at = route[0] ?? pages[0]?.name ?? "";
  return (
    <Shell {...props} pages={pages} at={at}>
      {/* Another language loads the page anew: the node's sentences change with it. */}
      <div key={`${language} ${route.join("/")}`}>{pageOf(at, route.slice(1), me)}</div>
    </Shell>
  );
}

const root = document.getElementById("console");
if (root) render(<Console />, root);
