/** What is sent, what is kept and by whom; and the way to remove it. */
import { store } from '../state/store.ts';
import { texts } from '../texts.ts';

export function Privacy() {
  const words = texts.privacy;
  return (
    <section class="about" id="content" tabIndex={-1} aria-labelledby="privacy-heading">
      <h1 id="privacy-heading">{words.heading}</h1>
      <dl class="about-items">
        {words.items.map(({ q, a }) => (
          <div key={q}>
            <dt>{q}</dt>
            <dd>{a}</dd>
          </div>
        ))}
      </dl>
      <div class="about-actions">
        <button
          type="button"
          class="button plain"
          data-testid="forget-everything"
          aria-describedby="forget-help"
          onClick={() => void store.forgetEverything()}
        >
          {words.forget}
        </button>
        <span class="fine" id="forget-help">
          {words.forgetHelp}
        </span>
      </div>
    </section>
  );
}
