import type { ComponentChildren, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Language, Me } from "../api";
import { go, to } from "../route";
import { dictionaries, useWords } from "../words";
import type { Words } from "../words";
import { KeyboardHelp } from "./keyboard";

/** A page of the menu. */
export interface Page {
  name: keyof Words["shell"] & string;
  badge: number;
}

interface Frame {
  me: Me;
  pages: Page[];
  at: string;
  language: Language;
  onLanguage: (language: Language) => void;
  onLogout: () => void;
  children: ComponentChildren;
}

/** What stands around every page: name of the site, menu, language, and the way out. */
export function Shell(props: Frame): JSX.Element {
  const words = useWords();
  const [help, setHelp] = useState(false);
  useEffect(() => pageKeys(props.pages), [props.pages]);
  return (
    <>
      <a class="skip" href="#main" onClick={skip}>
        {words.shell.skip}
      </a>
      <header class="top">
        <p class="brand">
          <img src="icon.svg" alt="" width="24" height="24" /> Consilium <strong>{props.me.site}</strong>
        </p>
        <p class="account">
          <span class="who">{props.me.name}</span>
          <Languages language={props.language} onLanguage={props.onLanguage} />
          <button type="button" class="plain" onClick={() => setHelp(true)}>
            {words.shell.keyboard}
          </button>
          <button type="button" class="plain" onClick={props.onLogout}>
            {words.shell.logout}
          </button>
        </p>
        <Menu pages={props.pages} at={props.at} />
      </header>
      <main id="main" tabIndex={-1}>
        {props.children}
      </main>
      <footer class="quiet small">{words.shell.version(props.me.version)}</footer>
      {help && <KeyboardHelp onClose={() => setHelp(false)} />}
    </>
  );
}

function Menu(props: { pages: Page[]; at: string }): JSX.Element {
  const words = useWords();
  return (
    <nav aria-label={words.shell.pages}>
      <ul>
        {props.pages.map(({ name, badge }) => (
          <li key={name}>
            <a href={to(name)} aria-current={name === props.at ? "page" : undefined}>
              {words.shell[name] as string}
              {badge > 0 && (
                <span class="count" aria-label={words.shell.waiting(badge)}>
                  {badge}
                </span>
              )}
            </a>
          </li>
        ))}
      </ul>
    </nav>
  );
}

/** Both languages, each in its own words. */
export function Languages(props: { language: Language; onLanguage: (language: Language) => void }): JSX.Element {
  const languages = Object.keys(dictionaries) as Language[];
  return (
    <span class="languages">
      {languages.map((language) => (
        <button
          type="button"
          class="plain"
          key={language}
          lang={language}
          aria-pressed={language === props.language}
          onClick={() => props.onLanguage(language)}
        >
          {dictionaries[language].language}
        </button>
      ))}
    </span>
  );
}

/** The address holds the page, so the link to the content moves the focus and leaves the address alone. */
function skip(event: Event): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

/** Alt+Shift+1 is the first page of the menu. */
function pageKeys(pages: Page[]): () => void {
  const pressed = (event: KeyboardEvent) => {
    const page = pages[Number(event.code.replace("Digit", "")) - 1];
    if (!event.altKey || !event.shiftKey || !page) return;
    event.preventDefault();
    go(page.name);
  };
  addEventListener("keydown", pressed);
  return () => removeEventListener("keydown", pressed);
}
