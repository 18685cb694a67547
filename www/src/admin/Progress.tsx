/** How far a run is. */
import { ProgressBar, doneOf } from '../components/ProgressBar.tsx';
import { formatCount, formatPercent } from '../format.ts';
import type { AdminRun } from './types.ts';
import { words } from './words.ts';

export function Progress({ run }: { run: AdminRun }) {
  const steps = words.overview.step(formatCount(run.version), formatCount(run.steps_total));
  return (
    <div class="run-progress">
      <p class="progress-label">
        <span data-testid={`version-${run.name}`} data-value={run.version}>
          {steps}
        </span>
        <strong>{formatPercent(doneOf(run))}</strong>
      </p>
      <ProgressBar run={run} label={run.title || run.name} steps={steps} />
    </div>
  );
}
