/** The name, the connection and the theme. */
import { language } from '../language.ts';
import { store } from '../state/store.ts';
import { VIEWS } from '../state/view.ts';
import { texts } from '../texts.ts';
import { Mark, MoonIcon, SunIcon } from './Icons.tsx';
import { useTheme } from './theme.ts';

export function Header() {
  return (
    <header class="header">
      <a class="skip" href="#content" onClick={skip}>
        {texts.skip}
      </a>
      <span class="brand">
        <Mark />
        {texts.name}
      </span>
      <nav class="pages" aria-label={texts.pages.label}>
        {VIEWS.map((view) => (
          <a
            key={view}
            href={`#${view}`}
            data-testid={`page-${view}`}
            aria-current={store.view.value === view ? 'page' : undefined}
          >
            {texts.pages[view]}
          </a>
        ))}
      </nav>
      <ConnectionChip />
      <LanguageToggle />
      <ThemeToggle />
    </header>
  );
}

function LanguageToggle() {
  const { label, title } = texts.language;
  const other = language.value === 'en' ? 'zh' : 'en';
  return (
    <button
      type="button"
      class="icon-button language"
      data-testid="language-toggle"
      lang={other}
      title={title}
      onClick={() => store.setPreferences({ language: other })}
    >
      {label}
    </button>
  );
}

/** The address says which page is shown, so the skip link moves the focus only. */
function skip(event: Event): void {
  event.preventDefault();
  document.getElementById('content')?.focus();
}

function ConnectionChip() {
  const connection = store.connection.value;
  return (
    <span class="chip" data-connection={connection} data-testid="connection">
      <span class="visually-hidden">{texts.chip.label}: </span>
      <span class="chip-dot" aria-hidden="true" />
      {texts.chip[connection]}
    </span>
  );
}

function ThemeToggle() {
  const dark = useTheme() === 'dark';
  const label = dark ? texts.theme.toLight : texts.theme.toDark;
  return (
    <button
      type="button"
      class="icon-button"
      data-testid="theme-toggle"
      aria-label={label}
      title={label}
      onClick={() => store.setPreferences({ theme: dark ? 'light' : 'dark' })}
    >
      {dark ? <SunIcon /> : <MoonIcon />}
    </button>
  );
}
