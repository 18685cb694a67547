/** The versions that can answer: the newest, each snapshot, and what the model was before training. */
import { formatPercent } from '../format.ts';
import { store } from '../state/store.ts';
import { texts } from '../texts.ts';

export function VersionOptions() {
  const words = texts.digit;
  return (
    <>
      <option value="">{words.newest}</option>
      {store.playground.snapshots.value
        .filter(({ version }) => version > 0)
        .map(({ version, eval_accuracy }) => (
          <option key={version} value={version}>
            {words.snapshot(version, eval_accuracy === null ? null : formatPercent(eval_accuracy, 1))}
          </option>
        ))}
      <option value={0}>{words.untrained}</option>
    </>
  );
}
