/** The run: what it is, how far it is, who helps. */
import type { RunStatus } from '../api/types.ts';
import { formatCount, formatDuration, formatRate } from '../format.ts';
import { isActive } from '../state/session.ts';
import { store } from '../state/store.ts';
import { texts } from '../texts.ts';
import { Charts } from './Charts.tsx';
import { Download } from './Download.tsx';
import { Figure } from './Figure.tsx';
import { ProgressBar } from './ProgressBar.tsx';
import { RunChooser } from './RunChooser.tsx';

export function RunSection() {
  const run = store.run.value;
  return (
    <section class="run" id={store.view.value === 'run' ? 'content' : undefined} aria-labelledby="run-heading" tabIndex={-1}>
      <RunChooser />
      {run === null ? <Waiting /> : <RunCard run={run} />}
    </section>
  );
}

function Waiting() {
  return (
    <>
      <h2 id="run-heading">{texts.run.heading}</h2>
      <p class="description">{store.server.value.known ? texts.noRuns : texts.run.waiting}</p>
    </>
  );
}

function RunCard({ run }: { run: RunStatus }) {
  return (
    <>
      <div class="run-title">
        <h2 id="run-heading">{run.title || run.name}</h2>
        <span class="phase" data-phase={run.phase} data-testid="phase">
          {texts.run.phases[run.phase]}
        </span>
        {store.server.value.failures > 0 && (
          <span class="phase offline" data-testid="offline">
            {texts.run.offline}
          </span>
        )}
      </div>
      <p class="description">{run.description}</p>
      <Origin run={run} />
      <Elsewhere run={run} />
      <StepProgress run={run} />
      <RunFigures run={run} />
      {run.reproducible && <p class="fine reproducible">{texts.run.reproducible}</p>}
      <Charts run={run} />
    </>
  );
}

/** Who is behind the run, a page with more, and the model to take home. */
function Origin({ run }: { run: RunStatus }) {
  if (run.owner === '' && run.link === '' && !run.download) return null;
  return (
    <p class="origin" data-testid="origin">
      {run.owner !== '' && <span>{texts.run.owner(run.owner)}</span>}
      {run.link.startsWith('https://') && (
        <a href={run.link} target="_blank" rel="noopener noreferrer" data-testid="run-link">
          {texts.run.more}
        </a>
      )}
      {run.download && <Download run={run} />}
    </p>
  );
}

/** Says so when the tab computes for another run than the one shown. */
function Elsewhere({ run }: { run: RunStatus }) {
  const session = store.session.value;
  const joined = session.status?.run ?? null;
  if (!isActive(session) || joined === null || joined === run.name) return null;
  const title = store.runs.value.find(({ name }) => name === joined)?.title ?? joined;
  return <p class="notice">{texts.run.elsewhere(title)}</p>;
}

/** `Step 3 of 10`, in the language in use. */
export function stepsOf({ version, steps_total }: RunStatus): string {
  const { step, of } = texts.run;
  return `${step} ${formatCount(version)} ${of} ${formatCount(steps_total)}`;
}

function StepProgress({ run }: { run: RunStatus }) {
  return (
    <div class="progress">
      <p class="progress-label">
        <span class="progress-steps">
          {texts.run.step}{' '}
          <strong data-testid="version" data-value={run.version}>
            {formatCount(run.version)}
          </strong>{' '}
          {texts.run.of}{' '}
          <span data-testid="steps-total" data-value={run.steps_total}>
            {formatCount(run.steps_total)}
          </span>
        </span>
        <span>{texts.run.epoch(run.epoch, run.epochs)}</span>
      </p>
      <ProgressBar run={run} label={texts.run.progressLabel} steps={stepsOf(run)} />
    </div>
  );
}

function RunFigures({ run }: { run: RunStatus }) {
  const words = texts.run;
  return (
    <dl class="figures run-figures">
      <Figure
        label={words.eta}
        value={run.eta_s === null || run.phase !== 'running' ? '–' : formatDuration(run.eta_s)}
        testId="eta"
      />
      <Figure
        label={words.workers}
        value={formatCount(run.workers)}
        raw={run.workers}
        testId="workers"
      />
      <Figure label={words.lanes} value={formatCount(run.lanes)} raw={run.lanes} />
      <Figure label={words.speed} value={formatRate(run.samples_per_s)} raw={run.samples_per_s} />
      <Figure
        label={words.committed}
        value={formatCount(run.samples_committed)}
        raw={run.samples_committed}
      />
      <Figure label={words.parameters} value={formatCount(run.parameters)} />
    </dl>
  );
}
