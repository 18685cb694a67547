/** Loss and accuracy: last value, curve, and the same figures as a table. */
import { useMemo } from 'preact/hooks';
import type { RunStatus } from '../api/types.ts';
import { formatLoss, formatPercent, formatPercentTick, formatTick } from '../format.ts';
import { smooth } from '../state/history.ts';
import { store } from '../state/store.ts';
import { texts } from '../texts.ts';
import { Chart } from './Chart.tsx';
import { FigureTable } from './FigureTable.tsx';

export function Charts({ run }: { run: RunStatus }) {
  const history = store.history.value;
  const loss = useMemo(() => {
    const values = history.steps.map((point) => point.train_loss);
    return {
      xs: history.steps.map((point) => point.version),
      lines: [values, smooth(values)],
    };
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
        key={`loss-${run.name}`}
        label={texts.charts.loss}
        testId="train-loss"
        color="--swarm"
        faintColor="--swarm-faint"
        data={loss}
        latest={run.train_loss}
        format={formatLoss}
        formatTick={formatTick}
        empty={texts.charts.noLoss}
      />
      <Chart
        key={`accuracy-${run.name}`}
        label={texts.charts.accuracy}
        testId="accuracy"
        color="--accuracy"
        data={accuracy}
        latest={run.eval?.accuracy ?? null}
        format={(ratio) => formatPercent(ratio, 1)}
        formatTick={formatPercentTick}
        empty={texts.charts.noAccuracy}
        marked
      />
      <FigureTable history={history} />
    </div>
  );
}
