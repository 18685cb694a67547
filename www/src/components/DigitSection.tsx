/** Try the model: draw a digit and see what the newest snapshot makes of it. */
import { formatPercent } from '../format.ts';
import { store } from '../state/store.ts';
import { texts } from '../texts.ts';
import { DigitBars } from './DigitBars.tsx';
import { DigitCanvas } from './DigitCanvas.tsx';
import { GallerySection } from './GallerySection.tsx';
import { SeenPicture } from './SeenPicture.tsx';
import { VersionOptions } from './VersionOptions.tsx';

export function DigitSection() {
  const { playground } = store;
  if (!playground.available.value) return null;
  const words = texts.digit;
  return (
    <section class="digit" aria-labelledby="digit-heading">
      <h2 id="digit-heading">{words.heading}</h2>
      <p class="description">{words.intro}</p>
      <div class="digit-grid">
        <div class="digit-draw">
          <DigitCanvas />
          <div class="digit-tools">
            <div class="digit-samples" role="group" aria-label={words.samples}>
              {Array.from({ length: 10 }, (_, digit) => (
                <button
                  key={digit}
                  type="button"
                  aria-label={words.sample(digit)}
                  data-testid={`digit-sample-${digit}`}
                  onClick={() => playground.drawSample(digit)}
                >
                  {digit}
                </button>
              ))}
            </div>
            <button
              type="button"
              class="button plain"
              data-testid="digit-clear"
              onClick={() => playground.clear()}
            >
              {words.clear}
            </button>
          </div>
        </div>
        <div class="digit-answer">
          <Prediction />
          <DigitBars />
          <div class="digit-meta">
            <SeenPicture />
            <VersionPicker />
          </div>
        </div>
      </div>
      <GallerySection />
    </section>
  );
}

function Prediction() {
  const answer = store.playground.answer.value;
  const words = texts.digit;
  let text: string = words.empty;
  let value: number | undefined;
  if (answer.kind === 'loading') text = words.loading;
  if (answer.kind === 'failed') text = answer.message;
  if (answer.kind === 'probabilities') {
    const { values } = answer;
    value = values.indexOf(Math.max(...values));
    text = words.prediction(value, formatPercent(values[value] ?? 0));
  }
  return (
    <div class="digit-prediction">
      <p role="status" data-testid="digit-prediction" data-value={value} data-kind={answer.kind}>
        {text}
      </p>
      {answer.kind === 'failed' && (
        <button type="button" class="button plain" onClick={() => void store.playground.retry()}>
          {words.retry}
        </button>
      )}
    </div>
  );
}

function VersionPicker() {
  const { playground } = store;
  const answer = playground.answer.value;
  const words = texts.digit;
  return (
    <div class="version-picker">
      <label for="model-version">{words.version}</label>
      <select
        id="model-version"
        data-testid="model-version"
        value={playground.chosen.value ?? ''}
        onChange={({ currentTarget: { value } }) =>
          playground.choose(value === '' ? null : Number(value))
        }
      >
        <VersionOptions />
      </select>
      <p class="fine">{answer.kind === 'probabilities' && words.usedVersion(answer.version)}</p>
    </div>
  );
}
