/** The console: who is in, how the server is, and the page that was asked for. */
import { useEffect, useRef } from 'preact/hooks';
import { Mark } from '../components/Icons.tsx';
import { Create } from './Create.tsx';
import { Events } from './Events.tsx';
import { Overview } from './Overview.tsx';
import type { Place } from './place.ts';
import { RunPage } from './RunPage.tsx';
import { SettingsPage } from './SettingsPage.tsx';
import { SignIn } from './SignIn.tsx';
import { store } from './state.ts';
import { Tokens } from './Tokens.tsx';
import { words } from './words.ts';
import { Workers } from './Workers.tsx';

const PAGES = ['overview', 'workers', 'events', 'tokens', 'create'] as const;

function titleOf(place: Place): string {
  if (place.page === 'settings') return words.settings.heading(place.run);
  return place.page === 'run' ? place.run : words.pages[place.page];
}

export function Page() {
  const place = store.place.value;
  const signedIn = store.api.value !== null;
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  const where = 'run' in place ? `${place.page} ${place.run}` : place.page;
  useEffect(() => {
    document.title = `${titleOf(place)} · ${words.name}`;
    // The link that was followed may be gone; keyboard users go on from the page that it led to.
    if (!first.current) main.current?.focus();
    first.current = false;
  }, [where]);
  return (
    <>
      <header class="bar">
        <a class="skip" href="#content" onClick={skip}>
          {words.skip}
        </a>
        <span class="brand">
          <Mark />
          {words.name}
        </span>
        {signedIn && (
          <>
            <nav class="pages" aria-label={words.pages.label}>
              {PAGES.map((page) => (
                <a
                  key={page}
                  href={`#${page}`}
                  data-testid={`page-${page}`}
                  aria-current={place.page === page ? 'page' : undefined}
                >
                  {words.pages[page]}
                </a>
              ))}
            </nav>
            <button type="button" class="button plain" data-testid="sign-out" onClick={() => store.signOut()}>
              {words.signOut}
            </button>
          </>
        )}
      </header>
      {signedIn && <HealthLine />}
      <main class="sheet" id="content" ref={main} tabIndex={-1}>
        {signedIn ? <Content /> : <SignIn />}
      </main>
    </>
  );
}

function Content() {
  const refusal = store.refusal.value;
  return (
    <>
      {refusal !== null && (
        <p class="problem" role="status" data-testid="refusal">
          {refusal}
        </p>
      )}
      <PlaceContent />
    </>
  );
}

function PlaceContent() {
  const place = store.place.value;
  const { page } = place;
  if (place.page === 'settings') return <SettingsPage run={place.run} />;
  if (page === 'run') return <RunPage />;
  if (page === 'workers') return <Workers />;
  if (page === 'events') return <Events />;
  if (page === 'tokens') return <Tokens />;
  if (page === 'create') return <Create />;
  return <Overview />;
}

/** The address says which page is shown, so the skip link moves the focus only. */
function skip(event: Event): void {
  event.preventDefault();
  document.getElementById('content')?.focus();
}

/** One line that says whether somebody has to do something. */
function HealthLine() {
  const health = store.health.value;
  const state = store.away.value ? 'away' : (health?.status ?? 'unknown');
  return (
    <div class="health" data-state={state} data-testid="health" role="status">
      <strong>{words.health[state]}</strong>
      {state === 'degraded' && health !== null && (
        <ul>
          {health.reasons.map(({ run, reason, undurable_steps }) => (
            <li key={run}>
              {words.health.of(run, undurable_steps)}
              {reason}
            </li>
          ))}
          {health.ledger.reason !== null && (
            <li>
              {words.health.ledger}
              {health.ledger.reason}
            </li>
          )}
        </ul>
      )}
    </div>
  );
}
