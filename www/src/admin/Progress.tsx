/** How far a run is. */
import { formatCount, formatPercent } from '../format.ts';
import type { AdminRun } from './types.ts';
import { words } from './words.ts';

export function Progress({ run }: { run: AdminRun }) {
  const ratio = run.steps_total > 0 ? Math.min(1, run.version / run.steps_total) : 0;
  const steps = words.overview.step(formatCount(run.version), formatCount(run.steps_total));
  return (
    <div class="run-progress">
      <p class="progress-label">
        <span data-testid={`version-${run.name}`} data-value={run.version}>
          {steps}
        </span>
        <strong>{formatPercent(ratio)}</strong>
      </p>
      <div
        class="progress-track"
        role="progressbar"
        aria-label={run.title || run.name}
        aria-valuemin={0}
        aria-valuemax={run.steps_total}
        aria-valuenow={run.version}
        aria-valuetext={`${steps}, ${formatPercent(ratio)}`}
      >
        <span class="progress-fill" style={{ transform: `scaleX(${ratio})` }} />
      </div>
    </div>
  );
}
