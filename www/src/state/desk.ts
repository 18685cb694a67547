/** The text model's desk: a prompt, a temperature, and a text that grows character by character. */
import { signal } from '@preact/signals';
import { fetchManifest, fetchParams, fetchRunJson } from '../api/client.ts';
import type { RunStatus, Snapshot } from '../api/types.ts';
import { PredictClient } from '../engine/client.ts';

/** Characters of one text. */
const TEXT_CHARACTERS = 600;

/** The store's part for the text model. */
export class Desk {
  /** The chosen version: null follows the newest, 0 is before training. */
  readonly chosen = signal<number | null>(null);
  readonly prompt = signal<string | null>(null);
  readonly temperature = signal(0.8);
  readonly text = signal('');
  readonly busy = signal(false);
  readonly failure = signal<string | null>(null);
  #client: PredictClient | null = null;
  #loaded = '';

  /** Writes a new text with a version of a run's model. */
  async write(run: RunStatus, snapshots: readonly Snapshot[], prompt: string): Promise<void> {
    this.busy.value = true;
    this.failure.value = null;
    this.text.value = '';
    try {
      const client = await this.#load(run, snapshots);
      const seed = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
      const temperature = this.temperature.value;
      const request = { prompt, temperature, seed, characters: TEXT_CHARACTERS };
      await client.write(request, (text) => {
        this.text.value += text;
      });
    } catch (error) {
      this.failure.value = error instanceof Error ? error.message : String(error);
    }
    this.busy.value = false;
  }

  /** Ends the text that is being written. */
  stop(): void {
    void this.#client?.stopWriting().catch(() => {});
  }

  async #load(run: RunStatus, snapshots: readonly Snapshot[]): Promise<PredictClient> {
    if (this.#client === null || this.#client.dead) {
      this.#client = new PredictClient();
      this.#loaded = '';
    }
    const client = this.#client;
    const chosen = snapshots.find(({ version }) => version === this.chosen.value);
    // Before the first snapshot the newest model is that of step 0.
    const snapshot = this.chosen.value === 0 ? undefined : (chosen ?? snapshots[0]);
    const which = `${run.name} ${snapshot?.params_digest ?? 'step 0'}`;
    if (which === this.#loaded) return client;
    const [run_json, manifest_json, params] = await Promise.all([
      fetchRunJson(run.name),
      fetchManifest(run.dataset),
      snapshot === undefined ? null : fetchParams(snapshot.params_digest),
    ]);
    await client.load({ run_json, manifest_json, params });
    this.#loaded = which;
    return client;
  }
}
