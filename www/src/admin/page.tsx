/** The console: who is in, how the server is, and the page that was asked for. */
import { useEffect, useRef } from 'preact/hooks';
import { Mark } from '../components/Icons.tsx';
import { Create } from './Create.tsx';
import { Events } from './Events.tsx';
import { Overview } from './Overview.tsx';
import { RunPage } from './RunPage.tsx';
import { SignIn } from './SignIn.tsx';
import { store } from './state.ts';
import { words } from './words.ts';
import { Workers } from './Workers.tsx';

const PAGES = ['overview', 'workers', 'events', 'create'] as const;

export function Page() {
  const place = store.place.value;
  const signedIn = store.api.value !== null;
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  const where = place.page === 'run' ? `run ${place.run}` : place.page;
  useEffect(() => {
    document.title = `${place.page === 'run' ? place.run : words.pages[place.page]} · ${words.name}`;
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
  const { page } = store.place.value;
  if (page === 'run') return <RunPage />;
  if (page === 'workers') return <Workers />;
  if (page === 'events') return <Events />;
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
