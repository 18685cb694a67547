/** How far a run is, as a bar. */
import type { RunStatus } from '../api/types.ts';
import { formatPercent } from '../format.ts';

/** The share of a run's steps that is done, from 0 to 1. */
export function doneOf(run: RunStatus): number {
  return run.steps_total > 0 ? Math.min(1, run.version / run.steps_total) : 0;
}

/** `steps` says in words what the bar shows. */
export function ProgressBar({ run, label, steps }: { run: RunStatus; label: string; steps: string }) {
  const done = doneOf(run);
  return (
    <div
      class="progress-track"
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={run.steps_total}
      aria-valuenow={run.version}
      aria-valuetext={`${steps}, ${formatPercent(done)}`}
    >
      <span class="progress-fill" style={{ transform: `scaleX(${done})` }} />
    </div>
  );
}
