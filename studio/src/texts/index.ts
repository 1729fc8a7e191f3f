/** Every word of the page, in the reader's language. */

import { signal } from "@preact/signals";
import { de } from "./de";
import { en, type Texts } from "./en";

export const LANGUAGES = { en: "English", de: "Deutsch" } as const;
export type Language = keyof typeof LANGUAGES;

const ALL: Record<Language, Texts> = { en, de };

const remembered = (): Language => {
  const wanted = localStorage.getItem("maquette-language") ?? navigator.language.slice(0, 2);
  return wanted in ALL ? (wanted as Language) : "en";
};

export const language = signal<Language>(typeof localStorage === "undefined" ? "en" : remembered());

export function speak(chosen: Language): void {
  language.value = chosen;
  localStorage.setItem("maquette-language", chosen);
}

/** The text `key`, with each {name} in it replaced. */
export function t(key: keyof Texts, values: Record<string, string | number> = {}): string {
  return ALL[language.value][key].replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? ""));
}

/** The name of a text or, where there is none, a field of the API in its own words. */
export const labelOf = (name: string): string =>
  name in en ? t(name as keyof Texts) : name.replaceAll("_", " ");
