/** Ten probabilities as bars; the tallest is the answer. */
import { formatPercent } from '../format.ts';
import { store } from '../state/store.ts';
import { texts } from '../texts.ts';

export function DigitBars() {
  const answer = store.playground.answer.value;
  const values = answer.kind === 'probabilities' ? answer.values : null;
  const best = values === null ? -1 : values.indexOf(Math.max(...values));
  return (
    <ol class="bars" aria-label={texts.digit.bars}>
      {Array.from({ length: 10 }, (_, digit) => {
        const value = values?.[digit] ?? 0;
        return (
          <li key={digit} class={digit === best ? 'bar best' : 'bar'}>
            <span class="bar-track" aria-hidden="true">
              <span class="bar-fill" style={{ transform: `scaleY(${value})` }} />
            </span>
            <span class="bar-digit">{digit}</span>
            <span class="bar-value">{values === null ? '' : formatPercent(value)}</span>
          </li>
        );
      })}
    </ol>
  );
}
