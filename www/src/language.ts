/** The language in use, and what numbers look like in it. Apart from the sentences, which need both. */
import { signal } from '@preact/signals';

/** The languages that there are, with the tags by which `Intl` knows their numbers and HTML their letters. */
const TAGS = {
  en: { numbers: 'en-US', letters: 'en' },
  zh: { numbers: 'zh-CN', letters: 'zh-Hans' },
} as const;

/** The languages that there are, by the names under which they are remembered. */
export type Language = keyof typeof TAGS;

/** The language that is shown. */
export const language = signal<Language>('en');

/** True for a language that there is a dictionary for. */
export function isLanguage(tag: unknown): tag is Language {
  return typeof tag === 'string' && Object.hasOwn(TAGS, tag);
}

/** The language that a browser asks for, or English. */
export function preferredLanguage(tags: readonly string[]): Language {
  const known = tags.map((tag) => tag.toLowerCase().split('-')[0]).find(isLanguage);
  return known ?? 'en';
}

/** What `lang` is for the language in use. */
export function htmlLanguage(): string {
  return TAGS[language.value].letters;
}

const formats = new Map<string, Intl.NumberFormat>();

/** A number in the language in use. Formatters are slow to make and few, so each is made once. */
export function formatNumber(value: number, options: Intl.NumberFormatOptions): string {
  const { numbers } = TAGS[language.value];
  const key = `${numbers} ${JSON.stringify(options)}`;
  let format = formats.get(key);
  if (format === undefined) {
    format = new Intl.NumberFormat(numbers, options);
    formats.set(key, format);
  }
  return format.format(value);
}

/** Measures that belong together, such as hours and minutes, in the language in use. */
export function formatList(parts: readonly string[]): string {
  return new Intl.ListFormat(TAGS[language.value].numbers, { type: 'unit', style: 'narrow' }).format(parts);
}
