/**
 * Every sentence and label that the page shows, one file a language. `texts` is the dictionary of the language
 * that is chosen: what reads it while it renders is rendered again when that changes.
 */
import { signal } from '@preact/signals';
import { en, type Texts } from './texts/en.ts';
import { zh } from './texts/zh.ts';

const DICTIONARIES = { en, zh } satisfies Record<string, Texts>;

/** The languages that there are, by the tags that HTML has for them. */
export type Language = keyof typeof DICTIONARIES;

/** The language that is shown. */
export const language = signal<Language>('en');

/** The language that a browser asks for, or English. */
export function preferredLanguage(tags: readonly string[]): Language {
  const known = tags.map((tag) => tag.toLowerCase().split('-')[0]).find(isLanguage);
  return known ?? 'en';
}

/** True for a language that there is a dictionary for. */
export function isLanguage(tag: unknown): tag is Language {
  return typeof tag === 'string' && Object.hasOwn(DICTIONARIES, tag);
}

/** The dictionary in use. */
export const texts: Texts = new Proxy(en, {
  get: (_, key) => DICTIONARIES[language.value][key as keyof Texts],
});

/** A sentence of the engine or the server in the language in use, or as it came. */
export function said(sentence: string): string {
  const { sentences } = texts;
  return Object.hasOwn(sentences, sentence) ? (sentences[sentence] ?? sentence) : sentence;
}
