/** Loss and accuracy of a run as curves, each with its last value. */
import { useMemo } from 'preact/hooks';
import type { RunStatus } from '../api/types.ts';
import { formatLoss, formatPercent, formatPercentTick, formatTick } from '../format.ts';
import { smooth } from '../state/history.ts';
import type { History } from '../state/history.ts';
import { Chart } from './Chart.tsx';

interface Props {
  run: RunStatus;
  history: History;
  /** The curves' names, and what stands for one that is empty. */
  words: { loss: string; noLoss: string; accuracy: string; noAccuracy: string };
  testIds: { loss: string; accuracy: string };
}

export function Curves({ run, history, words, testIds }: Props) {
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
    <>
      <Chart
        key={`loss-${run.name}`}
        label={words.loss}
        testId={testIds.loss}
        color="--swarm"
        faintColor="--swarm-faint"
        data={loss}
        latest={run.train_loss}
        format={formatLoss}
        formatTick={formatTick}
        empty={words.noLoss}
      />
      <Chart
        key={`accuracy-${run.name}`}
        label={words.accuracy}
        testId={testIds.accuracy}
        color="--accuracy"
        data={accuracy}
        latest={run.eval?.accuracy ?? null}
        format={(ratio) => formatPercent(ratio, 1)}
        formatTick={formatPercentTick}
        empty={words.noAccuracy}
        marked
      />
    </>
  );
}
