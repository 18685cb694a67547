/** Try the text model: a beginning, a temperature, and what the model makes of it. */
import { formatTenths } from '../format.ts';
import { store } from '../state/store.ts';
import { texts } from '../texts.ts';
import { VersionOptions } from './VersionOptions.tsx';

const TEMPERATURE_MAX = 2;

export function WritingSection() {
  const run = store.run.value;
  if (run === null || !run.text) return null;
  const { desk } = store;
  const words = texts.writing;
  const prompt = desk.prompt.value ?? words.start;
  const write = (event: Event): void => {
    event.preventDefault();
    if (desk.busy.value) desk.stop();
    else void desk.write(run, store.playground.snapshots.value, prompt);
  };
  const failure = desk.failure.value;
  return (
    <section class="writing" aria-labelledby="writing-heading">
      <h2 id="writing-heading">{words.heading}</h2>
      <p class="description">{words.intro}</p>
      <form class="writing-form" onSubmit={write}>
        <div>
          <label for="prompt">{words.prompt}</label>
          <input
            id="prompt"
            data-testid="prompt"
            type="text"
            maxLength={200}
            autocomplete="off"
            value={prompt}
            onInput={(event) => (desk.prompt.value = event.currentTarget.value)}
          />
        </div>
        <div>
          <label for="temperature">{words.temperature}</label>
          <div class="limit-control">
            <input
              id="temperature"
              data-testid="temperature"
              type="range"
              min={0}
              max={TEMPERATURE_MAX}
              step={0.1}
              value={desk.temperature.value}
              aria-describedby="temperature-help"
              onInput={(event) => (desk.temperature.value = Number(event.currentTarget.value))}
            />
            <output for="temperature">{formatTenths(desk.temperature.value)}</output>
          </div>
          <p class="fine" id="temperature-help">
            {words.temperatureHelp}
          </p>
        </div>
        <div>
          <label for="writing-version">{texts.digit.version}</label>
          <select
            id="writing-version"
            data-testid="writing-version"
            value={desk.chosen.value ?? ''}
            onChange={({ currentTarget: { value } }) =>
              (desk.chosen.value = value === '' ? null : Number(value))
            }
          >
            <VersionOptions />
          </select>
        </div>
        <button type="submit" class="button plain" data-testid="write">
          {desk.busy.value ? words.stop : words.write}
        </button>
      </form>
      <output
        class="written"
        aria-label={words.output}
        aria-live="off"
        data-testid="written"
        data-busy={desk.busy.value}
      >
        {desk.text.value === '' ? (
          <span class="fine">{failure === null ? words.empty : words.failed(failure)}</span>
        ) : (
          <>
            <strong>{prompt}</strong>
            {desk.text.value}
          </>
        )}
      </output>
    </section>
  );
}
