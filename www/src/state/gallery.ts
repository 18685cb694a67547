/**
 * The model examined: ten test digits as each version reads them, and the confusion matrix of the newest. Runs
 * in a worker of its own when it is asked for, so that drawing goes on meanwhile.
 */
import { signal } from '@preact/signals';
import { fetchExamples, fetchParams, fetchRunJson } from '../api/client.ts';
import type { RunStatus, Snapshot } from '../api/types.ts';
import { PredictClient } from '../engine/client.ts';

/** What one version makes of the ten digits. */
export interface Reading {
  version: number;
  /** (digits, classes). */
  probabilities: Float32Array;
}

/** What was found out. */
export interface Examined {
  run: string;
  side: number;
  /** The pictures, a byte a pixel. */
  pictures: Uint8Array[];
  /** Oldest first; the first one is of step 0. */
  readings: Reading[];
  version: number;
  /** (class, answer). */
  counts: Uint32Array;
}

export type Examination =
  | { kind: 'none' }
  | { kind: 'busy' }
  | { kind: 'done'; found: Examined }
  | { kind: 'failed'; message: string };

/** Rows of the first example of each class, in the order of classes; labels stand behind all pictures. */
export function firstRows(chunk: ArrayBuffer, pixels: number, classes: number): Uint32Array {
  const samples = Math.floor(chunk.byteLength / (pixels + 2));
  const labels = new DataView(chunk, samples * pixels);
  const rows: number[] = [];
  for (let row = 0; row < samples; row++) {
    const label = labels.getUint16(row * 2, true);
    if (label < classes) rows[label] ??= row;
  }
  return Uint32Array.from(rows.filter((row) => row !== undefined));
}

/** The share of the diagonal. */
export function shareRight(counts: Uint32Array, classes: number): number {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const right = counts.filter((_, idx) => idx % (classes + 1) === 0);
  return total === 0 ? 0 : right.reduce((sum, count) => sum + count, 0) / total;
}

/** The store's part for the examination. */
export class Gallery {
  readonly state = signal<Examination>({ kind: 'none' });

  /** Forgets what was found of another run. */
  reset(): void {
    this.state.value = { kind: 'none' };
  }

  /** Examines the snapshots of a run, oldest first after step 0. */
  async examine(run: RunStatus, snapshots: readonly Snapshot[]): Promise<void> {
    if (this.state.value.kind === 'busy') return;
    this.state.value = { kind: 'busy' };
    const client = new PredictClient();
    try {
      this.state.value = { kind: 'done', found: await examine(client, run, snapshots) };
    } catch (error) {
      this.state.value = { kind: 'failed', message: error instanceof Error ? error.message : String(error) };
    }
    client.end();
  }
}

async function examine(
  client: PredictClient,
  run: RunStatus,
  snapshots: readonly Snapshot[],
): Promise<Examined> {
  const [run_json, examples] = await Promise.all([fetchRunJson(run.name), fetchExamples(run.name)]);
  const pixels = run.input_shape.reduce((product, size) => product * size, 1);
  const rows = firstRows(examples, pixels, run.classes);
  const bytes = new Uint8Array(examples);
  const models = [...snapshots].sort((a, b) => a.version - b.version);
  const readings: Reading[] = [];
  for (const snapshot of [null, ...models.filter(({ version }) => version > 0)]) {
    const params = snapshot === null ? null : await fetchParams(snapshot.params_digest);
    await client.load({ run_json, manifest_json: null, params });
    const probabilities = await client.rows(examples, rows);
    readings.push({ version: snapshot?.version ?? 0, probabilities });
  }
  const counts = await client.confusion(examples);
  const pictures = Array.from(rows, (row) => bytes.slice(row * pixels, (row + 1) * pixels));
  const version = readings.at(-1)?.version ?? 0;
  return { run: run.name, side: Math.round(Math.sqrt(pixels)), pictures, readings, version, counts };
}
