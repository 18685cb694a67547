/** What runs, how to stop it, and where to read more: all that fits a badge. */
import { Mark } from '../components/Icons.tsx';
import { Verbs } from '../components/Verbs.tsx';
import { formatCount, formatPercent } from '../format.ts';
import { store } from '../state/store.ts';
import { texts } from '../texts.ts';

export function Badge() {
  const run = store.run.value;
  const words = texts.embed;
  return (
    <main class="badge">
      <p class="badge-head">
        <Mark />
        <strong>{texts.name}</strong>
        <a href={fullPage()} target="_blank" rel="noopener">
          {words.open}
        </a>
      </p>
      {store.consented.value ? (
        <Running />
      ) : (
        <>
          <h1>
            {words.lead} {run?.title ?? ''}
          </h1>
          <p class="fine">{words.terms}</p>
          <button type="button" class="button primary" data-testid="embed-accept" onClick={begin}>
            {words.accept}
          </button>
        </>
      )}
    </main>
  );
}

function begin(): void {
  store.acceptConsent();
  store.start();
}

function Running() {
  const { heading, reason, state } = store.description.value;
  const { status } = store.session.value;
  const samples = status?.samples_credited ?? 0;
  const busy = status?.busy_ratio ?? 0;
  return (
    <>
      <h1 data-testid="state" data-state={state} tabIndex={-1}>
        {heading}
      </h1>
      <p class="fine" data-testid="reason">
        {reason}
      </p>
      <p class="fine" data-testid="samples-credited" data-value={samples}>
        {texts.contribution.credited}: {formatCount(samples)}
        {status !== null && (
          <span data-testid="busy" data-value={busy}>
            {' · '}
            {texts.limits.duty} {texts.limits.dutyHelp(formatPercent(busy))}
          </span>
        )}
      </p>
      <Verbs onOrphaned={() => {}} />
    </>
  );
}

function fullPage(): string {
  const name = store.selected.value;
  return name === null ? '/' : `/?run=${encodeURIComponent(name)}`;
}
