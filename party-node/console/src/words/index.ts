import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { Language } from "../api";
import { en } from "./en";
import { zh } from "./zh";

/** The texts of a dictionary, whatever they say: the type check holds every language to the same keys and arguments. */
export type Texts<T> = T extends string
  ? string
  : T extends (...given: infer A) => string
    ? (...given: A) => string
    : { [K in keyof T]: Texts<T[K]> };

export type Words = Texts<typeof en>;

export const dictionaries: Record<Language, Words> = { en, zh };

export const Spoken = createContext<Language>("en");

export function useWords(): Words {
  return dictionaries[useContext(Spoken)];
}

/** The language chosen before, else the browser's if it is Chinese. */
export function firstLanguage(): Language {
  const chosen = localStorage.getItem(CHOSEN);
  if (chosen === "en" || chosen === "zh") return chosen;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

export function remember(language: Language): void {
  localStorage.setItem(CHOSEN, language);
}

const CHOSEN = "consilium-language";
