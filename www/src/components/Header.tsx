/** The name, the connection and the theme. */
import { store } from '../state/store.ts';
import { texts } from '../texts.ts';
import { Mark, MoonIcon, SunIcon } from './Icons.tsx';

export function Header() {
  return (
    <header class="header">
      <a class="skip" href="#run">
        {texts.skip}
      </a>
      <span class="brand">
        <Mark />
        {texts.name}
      </span>
      <ConnectionChip />
      <ThemeToggle />
    </header>
  );
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
  const { theme } = store.preferences.value;
  const systemDark = window.matchMedia('(prefers-color-scheme: dark)').matches;
  const dark = theme === 'system' ? systemDark : theme === 'dark';
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
