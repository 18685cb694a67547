/** Privacy and terms in plain words, and the way back out of the consent. */
import { store } from '../state/store.ts';
import { texts } from '../texts.ts';
import { Diagnostics } from './Diagnostics.tsx';

export function About() {
  return (
    <section class="about" id="content" tabIndex={-1} aria-labelledby="about-heading">
      <h1 id="about-heading">{texts.about.heading}</h1>
      <dl class="about-items">
        {texts.about.items.map(({ q, a }) => (
          <div key={q}>
            <dt>{q}</dt>
            <dd>{a}</dd>
          </div>
        ))}
      </dl>
      <div class="about-actions">
        <Diagnostics />
        {store.consented.value && (
          <button
            type="button"
            class="button plain"
            data-testid="consent-withdraw"
            onClick={() => store.withdrawConsent()}
          >
            {texts.consent.withdraw}
          </button>
        )}
      </div>
    </section>
  );
}
