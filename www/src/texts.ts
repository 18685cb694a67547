/**
 * Every sentence and label that the page shows, one file a language. `texts` is the dictionary of the language
 * that is chosen: what reads it while it renders is rendered again when that changes.
 */
import { language, type Language } from './language.ts';
import { en, type Texts } from './texts/en.ts';
import { zh } from './texts/zh.ts';

const DICTIONARIES: Record<Language, Texts> = { en, zh };

/** The dictionary in use. */
export const texts: Texts = new Proxy(en, {
  get: (_, key) => DICTIONARIES[language.value][key as keyof Texts],
});

/** A sentence of the engine or the server in the language in use, or as it came. */
export function said(sentence: string): string {
  const { sentences } = texts;
  return Object.hasOwn(sentences, sentence) ? (sentences[sentence] ?? sentence) : sentence;
}
