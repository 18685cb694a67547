/**
 * "Try the model": the ink on the canvas, the snapshot that answers, and its answer. Loads
 * nothing before the first stroke, and asks for one prediction at a time.
 */
import { batch, computed, signal, type ReadonlySignal } from '@preact/signals';
import { ApiError, fetchParams, fetchRunJson, fetchSnapshots } from '../api/client.ts';
import type { RunStatus, Snapshot } from '../api/types.ts';
import { Ink } from '../digit/ink.ts';
import { isDigitRun, normalize, parseNormalization, type Normalization } from '../digit/model-input.ts';
import { preprocess, SIDE } from '../digit/preprocess.ts';
import { SAMPLE_STROKES } from '../digit/strokes.ts';
import { PredictClient } from '../engine/client.ts';
import { texts } from '../texts.ts';

/** What the section shows beside the canvas. */
export type Answer =
  | { kind: 'empty' }
  | { kind: 'loading' }
  | { kind: 'probabilities'; values: Float32Array; version: number }
  | { kind: 'failed'; message: string };

/** A run that published nothing yet, or was removed a moment ago, has no snapshots. */
async function listSnapshots(run: string): Promise<Snapshot[]> {
  try {
    return await fetchSnapshots(run);
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return [];
    throw error;
  }
}

interface Loaded {
  run: string;
  digest: string;
  version: number;
  normalization: Normalization;
}

/** Before training: the parameters follow from the run file, so there is nothing to fetch. */
const STEP_0: Snapshot = { version: 0, params_digest: 'step 0', bytes: 0, eval_accuracy: null };

const EMPTY_IMAGE = new Float32Array(SIDE * SIDE);

/** The store's part for the digit canvas. */
export class Playground {
  readonly ink = new Ink();
  /** Grows with every change of the ink; components redraw when it does. */
  readonly inkRevision = signal(0);
  /** The 28 × 28 picture that the model is given. */
  readonly image = signal<Float32Array>(EMPTY_IMAGE);
  readonly answer = signal<Answer>({ kind: 'empty' });
  readonly snapshots = signal<readonly Snapshot[]>([]);
  /** The chosen version, or null to follow the newest. */
  readonly chosen = signal<number | null>(null);
  readonly available: ReadonlySignal<boolean>;

  readonly #run: ReadonlySignal<RunStatus | null>;
  #snapshotsOf: string | null = null;
  #client: PredictClient | null = null;
  #loaded: Loaded | null = null;
  #busy = false;
  #dirty = false;

  constructor(run: ReadonlySignal<RunStatus | null>) {
    this.#run = run;
    this.available = computed(() => run.value !== null && isDigitRun(run.value));
  }

  /** Reads the list of snapshots; a drawing on the canvas is then answered by the newest. */
  async refresh(): Promise<void> {
    const run = this.#run.value;
    if (run === null || !(this.available.value || run.text || run.download)) return;
    const snapshots = await listSnapshots(run.name);
    if (run.name !== this.#run.value?.name) return;
    batch(() => {
      if (this.#snapshotsOf !== run.name) this.chosen.value = null;
      this.#snapshotsOf = run.name;
      this.snapshots.value = snapshots;
      // A version that the server no longer keeps cannot stay chosen.
      const kept = snapshots.some((s) => s.version === this.chosen.value);
      if (!kept && this.chosen.value !== 0) this.chosen.value = null;
    });
    if (!this.ink.isEmpty && this.available.value) this.#update();
  }

  /** Begins a stroke at a point of the unit square. */
  beginStroke(x: number, y: number): void {
    this.ink.begin(x, y);
    this.#inkChanged();
  }

  /** Draws on to a point of the unit square. */
  extendStroke(x: number, y: number): void {
    this.ink.extend(x, y);
    this.#inkChanged();
  }

  /** Wipes the canvas. */
  clear(): void {
    this.ink.clear();
    this.#inkChanged();
  }

  /** Replaces the drawing by a built-in digit. */
  drawSample(digit: number): void {
    this.ink.clear();
    for (const [first, ...rest] of SAMPLE_STROKES[digit] ?? []) {
      if (first === undefined) continue;
      this.ink.begin(first[0], first[1]);
      for (const [x, y] of rest) this.ink.extend(x, y);
    }
    this.#inkChanged();
  }

  /** Chooses the version that answers; null follows the newest. */
  choose(version: number | null): void {
    this.chosen.value = version;
    if (!this.ink.isEmpty) this.#update();
  }

  /** Tries again after a failure, with a fresh list of snapshots. */
  async retry(): Promise<void> {
    this.answer.value = { kind: 'loading' };
    try {
      await this.refresh();
    } catch (error) {
      this.#fail(error);
    }
  }

  #inkChanged(): void {
    batch(() => {
      this.inkRevision.value += 1;
      this.image.value = preprocess(this.ink.coverage, Ink.SIDE) ?? EMPTY_IMAGE;
      if (this.ink.isEmpty) this.answer.value = { kind: 'empty' };
    });
    if (!this.ink.isEmpty) this.#update();
  }

  /** Coalesces: strokes that arrive during a prediction cause one more, not one each. */
  #update(): void {
    this.#dirty = true;
    if (!this.#busy) void this.#work();
  }

  async #work(): Promise<void> {
    this.#busy = true;
    while (this.#dirty) {
      this.#dirty = false;
      try {
        await this.#answerOnce();
      } catch (error) {
        this.#fail(error);
      }
    }
    this.#busy = false;
  }

  async #answerOnce(): Promise<void> {
    const run = this.#run.value;
    const snapshots = this.snapshots.value;
    const newest = this.chosen.value === 0 ? STEP_0 : snapshots[0];
    const snapshot = snapshots.find((s) => s.version === this.chosen.value) ?? newest;
    if (run === null || this.#snapshotsOf !== run.name || snapshot === undefined) {
      this.answer.value = { kind: 'failed', message: texts.digit.noSnapshot };
      return;
    }
    const loaded = await this.#load(run.name, snapshot);
    const input = normalize(this.image.value, loaded.normalization);
    const values = await this.#openClient().predict(input);
    if (!this.ink.isEmpty) {
      this.answer.value = { kind: 'probabilities', values, version: loaded.version };
    }
  }

  async #load(run: string, snapshot: Snapshot): Promise<Loaded> {
    const client = this.#openClient();
    const known = this.#loaded;
    if (known !== null && known.run === run && known.digest === snapshot.params_digest) return known;
    if (this.answer.value.kind !== 'probabilities') this.answer.value = { kind: 'loading' };
    const [runJson, params] = await Promise.all([
      fetchRunJson(run),
      snapshot.version === 0 ? null : fetchParams(snapshot.params_digest),
    ]);
    await client.load({ run_json: runJson, manifest_json: null, params });
    this.#loaded = {
      run,
      digest: snapshot.params_digest,
      version: snapshot.version,
      normalization: parseNormalization(runJson),
    };
    return this.#loaded;
  }

  /** The worker, or a new one if there is none or the last one died. */
  #openClient(): PredictClient {
    if (this.#client === null || this.#client.dead) {
      this.#client = new PredictClient();
      this.#loaded = null;
    }
    return this.#client;
  }

  #fail(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    this.answer.value = { kind: 'failed', message: texts.digit.failed(message) };
  }
}
