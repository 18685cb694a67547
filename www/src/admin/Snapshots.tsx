/** A run's snapshots: taken home, kept, deleted. */
import { useState } from 'preact/hooks';
import { formatBytes, formatCount, formatPercent } from '../format.ts';
import type { Ask } from './Confirm.tsx';
import { store } from './state.ts';
import type { AdminRun, SnapshotRow } from './types.ts';
import { words } from './words.ts';

/** A file is the browser's own by then. */
const RELEASE_MS = 60_000;

export function Snapshots({ run, ask }: { run: AdminRun; ask: Ask }) {
  const snapshots = store.files.value?.snapshots ?? [];
  const newest = snapshots.find(({ kept }) => kept)?.version;
  return (
    <section>
      <h2 id="snapshots-heading">{words.run.snapshots}</h2>
      {snapshots.length === 0 ? (
        <p class="description">{words.run.noSnapshots}</p>
      ) : (
        <>
          <p class="fine">{words.run.snapshotsHelp}</p>
          <div class="table-scroll wide" tabIndex={0} role="region" aria-labelledby="snapshots-heading">
            <table class="data-table" data-testid="snapshots">
              <thead>
                <tr>
                  <th scope="col">{words.run.version}</th>
                  <th scope="col">{words.run.accuracy}</th>
                  <th scope="col">{words.run.size}</th>
                  <th scope="col">{words.run.kept}</th>
                  <th scope="col">{words.run.digest}</th>
                  <th scope="col" class="acts">
                  {words.run.actions}
                </th>
                </tr>
              </thead>
              <tbody>
                {snapshots.map((snapshot) => (
                  <Row
                    key={snapshot.version}
                    run={run}
                    snapshot={snapshot}
                    isNewest={snapshot.version === newest}
                    ask={ask}
                  />
                ))}
              </tbody>
            </table>
          </div>
        </>
      )}
    </section>
  );
}

interface RowProps {
  run: AdminRun;
  snapshot: SnapshotRow;
  isNewest: boolean;
  ask: Ask;
}

function Row({ run, snapshot, isNewest, ask }: RowProps) {
  const { version, eval_accuracy, bytes, params_digest, pinned, kept } = snapshot;
  const [busy, setBusy] = useState(false);
  const shown = formatCount(version);
  const { confirm } = words;
  const download = async (): Promise<void> => {
    setBusy(true);
    const file = await store.snapshot(run.name, version);
    setBusy(false);
    if (file !== null) save(file, `${run.name}-v${version}.safetensors`);
  };
  const pin = (): void => {
    if (!pinned) void store.pin(run.name, version, true);
    else {
      ask({
        title: confirm.unpin(shown),
        body: kept ? confirm.unpinBody : confirm.unpinLast,
        confirm: confirm.unpinDo,
        act: () => store.pin(run.name, version, false),
      });
    }
  };
  const remove = (): void =>
    ask({
      title: confirm.remove(run.name, shown),
      body: confirm.removeBody,
      confirm: confirm.removeDo,
      act: () => store.deleteSnapshot(run.name, version),
    });
  return (
    <tr data-testid={`snapshot-${version}`}>
      <th scope="row">{shown}</th>
      <td>{eval_accuracy === null ? words.none : formatPercent(eval_accuracy, 1)}</td>
      <td>{formatBytes(bytes)}</td>
      <td>{pinned ? words.run.pinned : words.run.untilNewer}</td>
      <td class="digest">{params_digest.slice(0, 16)}</td>
      <td class="row-actions">
        <button
          type="button"
          class="button plain"
          data-testid={`download-${version}`}
          disabled={busy}
          aria-label={`${words.run.download}: ${shown}`}
          onClick={() => void download()}
        >
          {words.run.download}
        </button>
        <button
          type="button"
          class="button plain"
          data-testid={`pin-${version}`}
          aria-label={`${pinned ? words.run.unpin : words.run.pin}: ${shown}`}
          onClick={pin}
        >
          {pinned ? words.run.unpin : words.run.pin}
        </button>
        <button
          type="button"
          class="button danger"
          data-testid={`delete-${version}`}
          disabled={pinned || isNewest}
          aria-label={`${words.run.remove}: ${shown}`}
          onClick={remove}
        >
          {words.run.remove}
        </button>
      </td>
    </tr>
  );
}

/** Gives a file to the browser, as a link to it would: the token is in a header, which links have not. */
function save(file: Blob, name: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), RELEASE_MS);
}
