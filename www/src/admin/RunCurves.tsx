/** A run's curves, as far as the console has fetched them. */
import { Curves } from '../components/Curves.tsx';
import { EMPTY_HISTORY } from '../state/history.ts';
import { store } from './state.ts';
import type { AdminRun } from './types.ts';
import { words } from './words.ts';

export function RunCurves({ run }: { run: AdminRun }) {
  const history = store.histories.value.get(run.name) ?? EMPTY_HISTORY;
  const testIds = { loss: `loss-${run.name}`, accuracy: `accuracy-${run.name}` };
  return (
    <div class="charts">
      <Curves run={run} history={history} words={words.run} testIds={testIds} />
    </div>
  );
}
