/** Which run to look at and to join; not shown where there is only one. */
import { formatPercent } from '../format.ts';
import { store } from '../state/store.ts';
import { texts } from '../texts.ts';

/** More than these are chosen on a page of their own. */
const CHOICES_MAX = 4;

export function RunChooser() {
  const runs = store.runs.value;
  if (runs.length < 2) return null;
  if (runs.length > CHOICES_MAX) {
    return (
      <p class="chooser">
        <a href="#runs" data-testid="all-runs">
          {texts.runs.all(runs.length)}
        </a>
      </p>
    );
  }
  return (
    <fieldset class="chooser">
      <legend>{texts.run.choose}</legend>
      <div class="chooser-options">
        {runs.map((run) => (
          <label key={run.name} class="chooser-option">
            <input
              type="radio"
              name="run"
              value={run.name}
              checked={run.name === store.selected.value}
              onChange={() => store.select(run.name)}
            />
            <span class="chooser-title">{run.title || run.name}</span>
            <span class="chooser-phase">
              {texts.run.phases[run.phase]} ·{' '}
              {formatPercent(run.steps_total > 0 ? run.version / run.steps_total : 0)}
            </span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}
