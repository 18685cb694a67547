/** The server's public JSON, as the page reads it. Field names are the server's. */

/** Where a run stands. */
export type RunPhase = 'created' | 'running' | 'paused' | 'finished' | 'stopped';

/** `GET /api/runs/{name}`. */
export interface RunStatus {
  name: string;
  title: string;
  description: string;
  owner: string;
  /** `https://…`, or empty. */
  link: string;
  /** Whether everybody may download the model. */
  download: boolean;
  phase: RunPhase;
  version: number;
  steps_total: number;
  epoch: number;
  epochs: number;
  samples_committed: number;
  samples_per_s: number;
  train_loss: number | null;
  eval: { version: number; loss: number; accuracy: number } | null;
  workers: number;
  lanes: number;
  parameters: number;
  params_digest: string;
  /** Digest of the training set's manifest. */
  dataset: string;
  classes: number;
  input_shape: number[];
  text: boolean;
  /** Whether there are examples of the test set. */
  examples: boolean;
  eta_s: number | null;
  micro_batch: number;
  global_batch: number;
  reproducible: boolean;
}

/** One committed step in a history. */
export interface StepPoint {
  version: number;
  train_loss: number;
}

/** One evaluation on the held-out samples. */
export interface EvalPoint {
  version: number;
  loss: number;
  accuracy: number;
}

/** `GET /api/runs/{name}/history?after=VERSION`. */
export interface HistoryPage {
  steps: StepPoint[];
  evals: EvalPoint[];
}

/** One entry of `GET /api/runs/{name}/snapshots`, newest first. */
export interface Snapshot {
  version: number;
  params_digest: string;
  bytes: number;
  eval_accuracy: number | null;
}

/** One line of `GET /api/leaders`, most samples first. */
export interface Leader {
  name: string;
  samples: number;
}
