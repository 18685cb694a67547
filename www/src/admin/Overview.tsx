/** All runs with their curves. */
import { Figure } from '../components/Figure.tsx';
import { formatCount, formatDuration, formatRate } from '../format.ts';
import { texts } from '../texts.ts';
import { RunCurves } from './RunCurves.tsx';
import { Progress } from './Progress.tsx';
import { runAddress } from './place.ts';
import { store } from './state.ts';
import type { AdminRun } from './types.ts';
import { words } from './words.ts';

export function Overview() {
  const runs = store.runs.value;
  return (
    <>
      <div class="page-head">
        <h1>{words.overview.heading}</h1>
        <a class="button plain" href="#create">
          {words.overview.create}
        </a>
      </div>
      {runs?.length === 0 && (
        <p class="notice" data-testid="runs-none">
          {words.overview.none}
        </p>
      )}
      {runs?.map((run) => <RunCard key={run.name} run={run} />)}
    </>
  );
}

function RunCard({ run }: { run: AdminRun }) {
  return (
    <article class="run-card" data-testid={`run-${run.name}`} aria-labelledby={`title-${run.run_id}`}>
      <div class="run-title">
        <h2 id={`title-${run.run_id}`}>
          <a href={runAddress(run.name)}>{run.name}</a>
        </h2>
        <Phase run={run} />
      </div>
      <Progress run={run} />
      <RunFigures run={run} />
      <RunCurves run={run} />
    </article>
  );
}

/** The phase, and why where that was not an order. */
export function Phase({ run }: { run: AdminRun }) {
  return (
    <>
      <span class="phase" data-phase={run.phase} data-testid={`phase-${run.name}`}>
        {texts.run.phases[run.phase]}
      </span>
      {run.reason !== null && <span class="fine">{run.reason}</span>}
      {run.storage_problem !== null && <span class="problem">{run.storage_problem}</span>}
    </>
  );
}

/** What the run has and does, in figures. */
export function RunFigures({ run }: { run: AdminRun }) {
  return (
    <dl class="figures">
      <Figure
        label={words.run.workers}
        value={formatCount(run.workers)}
        raw={run.workers}
        testId={`workers-${run.name}`}
      />
      <Figure label={words.run.lanes} value={formatCount(run.lanes)} />
      <Figure label={words.run.speed} value={formatRate(run.samples_per_s)} />
      <Figure
        label={words.run.left}
        value={run.eta_s === null || run.phase !== 'running' ? words.none : formatDuration(run.eta_s)}
      />
      <Figure label={words.run.committed} value={formatCount(run.samples_committed)} />
      <Figure label={words.run.undurable} value={formatCount(run.undurable_steps)} />
    </dl>
  );
}
