/** A run's snapshots: taken home, kept, deleted. */
import { useState } from 'preact/hooks';
import { formatBytes, formatCount, formatPercent } from '../format.ts';
import { save } from '../save.ts';
import type { Ask } from './Confirm.tsx';
import { Act, DataTable } from './DataTable.tsx';
import { Moment } from './Moment.tsx';
import { store } from './state.ts';
import type { AdminRun, SnapshotRow } from './types.ts';
import { words } from './words.ts';

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
          <DataTable
            testId="snapshots"
            labelledBy="snapshots-heading"
            columns={[words.run.version, words.run.made, words.run.accuracy, words.run.size, words.run.kept, words.run.digest]}
            hasActs
          >
            {snapshots.map((snapshot) => (
              <Row
                key={snapshot.version}
                run={run}
                snapshot={snapshot}
                isNewest={snapshot.version === newest}
                ask={ask}
              />
            ))}
          </DataTable>
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
  const { version, made_ms, eval_accuracy, bytes, params_digest, pinned, kept } = snapshot;
  const [busy, setBusy] = useState(false);
  const shown = formatCount(version);
  const { confirm } = words;
  const download = async (): Promise<void> => {
    setBusy(true);
    const file = await store.snapshot(run.name, version);
    setBusy(false);
    // Fetched and not linked: the token is in a header, which links have not.
    if (file !== null) save(`${run.name}-v${version}.safetensors`, file);
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
      <td>{made_ms === null ? words.none : <Moment at_ms={made_ms} />}</td>
      <td>{eval_accuracy === null ? words.none : formatPercent(eval_accuracy, 1)}</td>
      <td>{formatBytes(bytes)}</td>
      <td>{pinned ? words.run.pinned : words.run.untilNewer}</td>
      <td class="digest">{params_digest.slice(0, 16)}</td>
      <td class="row-actions">
        <Act
          testId={`download-${version}`}
          label={words.run.download}
          to={shown}
          disabled={busy}
          onClick={() => void download()}
        />
        <Act testId={`pin-${version}`} label={pinned ? words.run.unpin : words.run.pin} to={shown} onClick={pin} />
        <Act
          testId={`delete-${version}`}
          label={words.run.remove}
          to={shown}
          isDanger
          disabled={pinned || isNewest}
          onClick={remove}
        />
      </td>
    </tr>
  );
}
