/** What stands before everything else: plain text, a button that starts nothing yet, and a way around it. */
import { store } from '../state/store.ts';
import { texts } from '../texts.ts';

export function Consent() {
  const { consent } = texts;
  return (
    <section class="consent" aria-labelledby="consent-heading">
      <h1 id="consent-heading">{consent.heading}</h1>
      {store.declined.value ? <Declined /> : <Question />}
    </section>
  );
}

function Declined() {
  const { consent } = texts;
  return (
    <>
      <p class="lead" role="status" data-testid="consent-refused">
        {consent.refused}
      </p>
      <button
        type="button"
        class="button"
        data-testid="consent-again"
        onClick={() => store.decline(false)}
      >
        {consent.again}
      </button>
    </>
  );
}

function Question() {
  const { consent } = texts;
  return (
    <>
      <p class="lead">{consent.intro}</p>
      {store.consent.value === 'outdated' && (
        <p class="consent-changed" data-testid="consent-changed">
          {consent.changed}
        </p>
      )}
      <dl class="consent-parts">
        {consent.parts.map(({ title, body }) => (
          <div key={title}>
            <dt>{title}</dt>
            <dd>{body}</dd>
          </div>
        ))}
      </dl>
      <div class="consent-buttons">
        <button
          type="button"
          class="button primary"
          data-testid="consent-accept"
          onClick={() => store.acceptConsent()}
        >
          {consent.accept}
        </button>
        <button
          type="button"
          class="button"
          data-testid="consent-refuse"
          onClick={() => store.decline(true)}
        >
          {consent.refuse}
        </button>
      </div>
      <p class="fine">{consent.note}</p>
    </>
  );
}
