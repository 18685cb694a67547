/** How workers are compared and found. Pure. */
import type { WorkerRow } from './types.ts';
import { words } from './words.ts';

/** What can be sorted by. */
export type Column = keyof typeof words.workers.columns;

/** A worker's state in words. */
export function stateOf({ connected, paused, state }: WorkerRow): string {
  if (state === 'banned') return words.workers.banned;
  if (!connected) return words.workers.away;
  if (state === 'draining') return words.workers.draining;
  return paused === null ? words.workers.working : words.workers.paused(paused);
}

/** Whether a worker has all words of a filter somewhere. */
export function matches(worker: WorkerRow, filter: string): boolean {
  const text = [worker.worker_id, worker.software, worker.kind, worker.run ?? '', stateOf(worker)]
    .join(' ')
    .toLowerCase();
  return filter
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}

/** Ascending order by a column; ids in the order of their numbers. */
export function compareWorkers(a: WorkerRow, b: WorkerRow, column: Column): number {
  const [of, than] = [valueOf(a, column), valueOf(b, column)];
  if (typeof of === 'number' && typeof than === 'number') return of - than;
  return String(of).localeCompare(String(than), 'en', { numeric: true });
}

function valueOf(worker: WorkerRow, column: Column): string | number {
  if (column === 'state') return stateOf(worker);
  if (column === 'run') return worker.run ?? '';
  // Who has no rate yet is slower than anybody who has.
  if (column === 'micro_batches_per_s') return worker.micro_batches_per_s ?? -1;
  return worker[column];
}
