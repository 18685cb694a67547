/** All runs that the server hosts: what each is, how far it is and who helps; one click leads to its page. */
import type { RunStatus } from '../api/types.ts';
import { formatCount, formatDuration, formatLoss, formatPercent } from '../format.ts';
import { isActive } from '../state/session.ts';
import { store } from '../state/store.ts';
import { texts } from '../texts.ts';
import { Figure } from './Figure.tsx';
import { ProgressBar, doneOf } from './ProgressBar.tsx';
import { stepsOf } from './RunSection.tsx';

export function Runs() {
  const words = texts.runs;
  const runs = store.runs.value;
  return (
    <section class="runs" id="content" tabIndex={-1} aria-labelledby="runs-heading">
      <h1 id="runs-heading">{words.heading}</h1>
      {runs.length === 0 ? (
        <p class="notice" data-testid="runs-none">
          {store.server.value.known ? texts.noRuns : texts.run.waiting}
        </p>
      ) : (
        <>
          <p class="description">{words.intro}</p>
          <ul class="run-list" data-testid="runs">
            {runs.map((run) => (
              <RunItem key={run.name} run={run} />
            ))}
          </ul>
        </>
      )}
    </section>
  );
}

function RunItem({ run }: { run: RunStatus }) {
  const session = store.session.value;
  const joined = isActive(session) && session.status?.run === run.name;
  const open = (event: MouseEvent): void => {
    // A click that asks for another tab is the browser's.
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    store.select(run.name);
    location.hash = 'run';
  };
  return (
    <li class="run-item" data-testid={`run-${run.name}`}>
      <div class="run-item-head">
        <h2>
          <a href={`?run=${encodeURIComponent(run.name)}#run`} onClick={open}>
            {run.title || run.name}
          </a>
        </h2>
        <span class="phase" data-phase={run.phase}>
          {texts.run.phases[run.phase]}
        </span>
        {joined && <span class="phase joined">{texts.runs.joined}</span>}
        {!joined && run.name === store.selected.value && (
          <span class="fine">{texts.runs.shown}</span>
        )}
      </div>
      <p class="description">{run.description}</p>
      <RunProgress run={run} />
      <RunNumbers run={run} />
    </li>
  );
}

function RunProgress({ run }: { run: RunStatus }) {
  const steps = stepsOf(run);
  return (
    <div class="run-item-progress">
      <p class="progress-label">
        <span>{steps}</span>
        <strong>{formatPercent(doneOf(run))}</strong>
      </p>
      <ProgressBar run={run} label={`${texts.runs.progress}: ${run.title || run.name}`} steps={steps} />
    </div>
  );
}

function RunNumbers({ run }: { run: RunStatus }) {
  const words = texts.run;
  const classifies = run.eval !== null && !run.text;
  return (
    <dl class="figures run-item-figures">
      {classifies ? (
        <Figure
          label={texts.runs.accuracy}
          value={formatPercent(run.eval?.accuracy ?? NaN, 1)}
          raw={run.eval?.accuracy ?? null}
          testId={`run-accuracy-${run.name}`}
        />
      ) : (
        <Figure
          label={texts.runs.loss}
          value={run.train_loss === null ? '–' : formatLoss(run.train_loss)}
          raw={run.train_loss}
        />
      )}
      <Figure
        label={words.workers}
        value={formatCount(run.workers)}
        raw={run.workers}
        testId={`run-workers-${run.name}`}
      />
      <Figure
        label={words.eta}
        value={run.eta_s === null || run.phase !== 'running' ? '–' : formatDuration(run.eta_s)}
      />
      <Figure label={words.parameters} value={formatCount(run.parameters)} />
    </dl>
  );
}
