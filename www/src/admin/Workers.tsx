/** All workers, sorted and filtered. */
import { useState } from 'preact/hooks';
import { formatCount, formatTenths } from '../format.ts';
import { askForBan, Bans } from './Bans.tsx';
import { Confirm, type Ask, type Question } from './Confirm.tsx';
import { Act, DataTable } from './DataTable.tsx';
import { More } from './More.tsx';
import { store } from './state.ts';
import { compareWorkers, matches, stateOf, type Column } from './worker-table.ts';
import type { WorkerRow } from './types.ts';
import { words } from './words.ts';

const COLUMNS = Object.keys(words.workers.columns) as Column[];

export function Workers() {
  const page = store.workers.value;
  const workers = page?.rows ?? null;
  const [filter, setFilter] = useState('');
  const [question, setQuestion] = useState<Question | null>(null);
  const [connectedOnly, setConnectedOnly] = useState(false);
  const [sort, setSort] = useState<{ column: Column; descending: boolean }>({
    column: 'samples_credited',
    descending: true,
  });
  const shown = (workers ?? [])
    .filter((worker) => (!connectedOnly || worker.connected) && matches(worker, filter))
    .sort((a, b) => compareWorkers(a, b, sort.column) * (sort.descending ? -1 : 1));
  const sortBy = (column: Column): void =>
    setSort({ column, descending: sort.column === column && !sort.descending });
  return (
    <>
      <h1>{words.workers.heading}</h1>
      <div class="table-tools">
        <div>
          <label for="worker-filter">{words.workers.filter}</label>
          <input
            id="worker-filter"
            data-testid="worker-filter"
            type="search"
            autocomplete="off"
            aria-describedby="worker-filter-help"
            value={filter}
            onInput={(event) => setFilter(event.currentTarget.value)}
          />
          <p class="fine" id="worker-filter-help">
            {words.workers.filterHelp}
          </p>
        </div>
        <label class="check">
          <input
            type="checkbox"
            data-testid="connected-only"
            checked={connectedOnly}
            onChange={(event) => setConnectedOnly(event.currentTarget.checked)}
          />
          {words.workers.connectedOnly}
        </label>
        <p class="fine" role="status" data-testid="workers-shown" data-value={shown.length}>
          {words.workers.shown(formatCount(shown.length), formatCount(workers?.length ?? 0))}
        </p>
      </div>
      <p class="problem" role="alert" data-testid="problem">
        {store.problem.value}
      </p>
      {shown.length === 0 ? (
        <p class="notice">
          {workers === null ? words.health.unknown : workers.length === 0 ? words.workers.none : words.workers.noMatch}
        </p>
      ) : (
        <DataTable
          testId="workers"
          label={words.workers.heading}
          columns={COLUMNS.map((column) => (
            <th
              key={column}
              scope="col"
              aria-sort={sort.column !== column ? 'none' : sort.descending ? 'descending' : 'ascending'}
            >
              <button type="button" data-testid={`sort-${column}`} onClick={() => sortBy(column)}>
                {words.workers.columns[column]}
              </button>
            </th>
          ))}
          hasActs
        >
          {shown.map((worker) => (
            <Row key={worker.worker_id} worker={worker} ask={setQuestion} />
          ))}
        </DataTable>
      )}
      {page !== null && <More list="workers" shown={page.rows.length} goesOn={page.next !== null} />}
      <Bans ask={setQuestion} />
      <Confirm question={question} close={() => setQuestion(null)} />
    </>
  );
}

function Row({ worker, ask }: { worker: WorkerRow; ask: Ask }) {
  const rate = worker.micro_batches_per_s;
  return (
    <tr>
      <th scope="row">{worker.worker_id}</th>
      <td>{stateOf(worker)}</td>
      <td>{worker.run ?? words.none}</td>
      <td>{worker.software}</td>
      <td>{formatCount(worker.lanes)}</td>
      <td>{rate === null ? words.none : formatTenths(rate)}</td>
      <td>{formatCount(worker.samples_accepted)}</td>
      <td>{formatCount(worker.samples_credited)}</td>
      <td>{formatCount(worker.updates_rejected)}</td>
      <td class="row-actions">
        <Act
          testId={`ban-${worker.worker_id}`}
          label={words.bans.ban}
          to={worker.worker_id}
          isDanger
          disabled={worker.state === 'banned'}
          onClick={() => askForBan(ask, worker)}
        />
      </td>
    </tr>
  );
}
