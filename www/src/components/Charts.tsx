/** Loss and accuracy: last value, curve, and the same figures as a table. */
import type { RunStatus } from '../api/types.ts';
import { store } from '../state/store.ts';
import { texts } from '../texts.ts';
import { Curves } from './Curves.tsx';
import { FigureTable } from './FigureTable.tsx';

export function Charts({ run }: { run: RunStatus }) {
  const history = store.history.value;
  const testIds = { loss: 'train-loss', accuracy: 'accuracy' };
  return (
    <div class="charts">
      <Curves run={run} history={history} words={texts.charts} testIds={testIds} />
      <FigureTable history={history} />
    </div>
  );
}
