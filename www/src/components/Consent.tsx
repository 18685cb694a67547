/** What stands before everything else: plain text, and one button that starts nothing yet. */
import { store } from '../state/store.ts';
import { texts } from '../texts.ts';

export function Consent() {
  const { consent } = texts;
  return (
    <section class="consent" aria-labelledby="consent-heading">
      <h1 id="consent-heading">{consent.heading}</h1>
      <p class="lead">{consent.intro}</p>
      <dl class="consent-parts">
        {consent.parts.map(({ title, body }) => (
          <div key={title}>
            <dt>{title}</dt>
            <dd>{body}</dd>
          </div>
        ))}
      </dl>
      <button
        type="button"
        class="button primary"
        data-testid="consent-accept"
        onClick={() => store.acceptConsent()}
      >
        {consent.accept}
      </button>
      <p class="fine">{consent.note}</p>
    </section>
  );
}
