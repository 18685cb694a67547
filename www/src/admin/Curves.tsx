/** Loss and accuracy of a run. */
import { useMemo } from 'preact/hooks';
import { Chart } from '../components/Chart.tsx';
import { formatLoss, formatPercent, formatPercentTick, formatTick } from '../format.ts';
import { EMPTY_HISTORY, smooth } from '../state/history.ts';
import { store } from './state.ts';
import type { AdminRun } from './types.ts';
import { words } from './words.ts';

export function Curves({ run }: { run: AdminRun }) {
  const history = store.histories.value.get(run.name) ?? EMPTY_HISTORY;
  const loss = useMemo(() => {
    const values = history.steps.map((point) => point.train_loss);
    return { xs: history.steps.map((point) => point.version), lines: [values, smooth(values)] };
  }, [history.steps]);
  const accuracy = useMemo(
    () => ({
      xs: history.evals.map((point) => point.version),
      lines: [history.evals.map((point) => point.accuracy)],
    }),
    [history.evals],
  );
  return (
    <div class="charts">
      <Chart
        label={words.run.loss}
        testId={`loss-${run.name}`}
        color="--swarm"
        faintColor="--swarm-faint"
        data={loss}
        latest={run.train_loss}
        format={formatLoss}
        formatTick={formatTick}
        empty={words.run.noLoss}
      />
      <Chart
        label={words.run.accuracy}
        testId={`accuracy-${run.name}`}
        color="--accuracy"
        data={accuracy}
        latest={run.eval?.accuracy ?? null}
        format={(ratio) => formatPercent(ratio, 1)}
        formatTick={formatPercentTick}
        empty={words.run.noAccuracy}
        marked
      />
    </div>
  );
}
