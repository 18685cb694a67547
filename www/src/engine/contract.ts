/**
 * What the page and the engine's workers say to each other.
 *
 * The page never computes: `worker/driver.ts` hosts the session and its lanes, and
 * `worker/predict.ts` runs the model forward for "Try the model". Both are dedicated module
 * workers, and these types are the only thing that page and workers share.
 */

/** What a worker's last words hold when the browser gave its engine no more memory. */
export const OUT_OF_MEMORY = 'out of memory';

/** Why the volunteer, the device or the page asked the engine to hold. */
export type PauseReason = 'user' | 'hidden' | 'on_battery' | 'battery_low' | 'offline' | 'data_cap';

/** What the volunteer allows the engine to use. */
export interface Settings {
  /** Share of each lane's time that may be spent computing, 10 to 100. */
  duty_percent: number;
  /** Lanes computing side by side, at least 1. */
  lanes: number;
  /** Whether the first lane may use the graphics processor: only where it is faster, or always. */
  gpu: 'off' | 'auto' | 'always';
}

/** Page to driver. `start` comes first and once; a stopped driver is replaced, not restarted. */
export type ToDriver =
  | { kind: 'start'; server: string /* http(s) origin */; run: string | null; settings: Settings }
  | { kind: 'pause'; reason: PauseReason }
  | { kind: 'resume' }
  | { kind: 'finish' }
  | { kind: 'retry_now' }
  | { kind: 'settings'; settings: Settings }
  | { kind: 'online'; online: boolean }
  /** Asks for this worker's place in a run; with `name` it is put on the leaderboard before. */
  | { kind: 'standing'; run: string; name: { key: string; name: string } | null };

/** Where the worker's session stands. */
export type SessionState =
  | 'connecting'
  | 'joining'
  | 'loading'
  | 'idle'
  | 'computing'
  | 'paused'
  | 'backoff'
  | 'stopped';

/** A full picture of the session; each status replaces the one before it. */
export interface SessionStatus {
  state: SessionState;
  /** A plain sentence whenever not computing, shown verbatim. */
  reason: string | null;
  pause_reason: PauseReason | null;
  retry_in_ms: number | null;
  /** 'finished' | 'version_mismatch' | 'refused' | 'run_finished' | 'engine_failed' */
  stop_code: string | null;
  run: string | null;
  version: number;
  steps_total: number;
  /** Data-set chunks fetched so far. */
  loading: { done: number; total: number } | null;
  /** Micro-batches of the current lease. */
  lease: { done: number; total: number; samples: number } | null;
  samples_computed: number;
  samples_accepted: number;
  samples_credited: number;
  samples_rejected: number;
  rejections: { reason: string; count: number }[];
  bytes_up: number;
  bytes_down: number;
  samples_per_s: number;
  /** Measured share of lane time spent computing, 0 to 1. */
  busy_ratio: number;
  lanes: number;
  arithmetic_class: 'portable' | 'fused' | null;
  /** What the lane that may use the graphics processor computes with; null until it has said so. */
  backend: { kind: 'gpu' | 'cpu'; reason: string } | null;
  /** Milliseconds from start to the first accepted update. */
  first_accepted_ms: number | null;
}

/** This worker's place among all that were credited in a run. */
export interface Standing {
  samples: number;
  rank: number;
  of: number;
}

/** Driver to page. After `fatal` the driver says nothing more. */
export type FromDriver =
  /** `problem` is the server's sentence about a name that it did not take. */
  | { kind: 'standing'; standing: Standing | null; name: string | null; problem: string | null }
  | { kind: 'status'; status: SessionStatus }
  | { kind: 'fatal'; message: string };

/** A model to load: of a run and parameters, or of step 0 where there are none. */
export interface Model {
  run_json: string;
  /** The data set's manifest of a run on text; null for others. */
  manifest_json: string | null;
  params: ArrayBuffer | null;
}

/** Page to predict worker. `id` comes back with the answer. */
export type ToPredict =
  | ({ kind: 'load'; id: number } & Model)
  | { kind: 'predict'; id: number; input: Float32Array }
  | { kind: 'confusion'; id: number; examples: ArrayBuffer }
  | { kind: 'rows'; id: number; examples: ArrayBuffer; rows: Uint32Array }
  | { kind: 'write'; id: number; prompt: string; temperature: number; seed: number; characters: number }
  | { kind: 'stop'; id: number }
  | { kind: 'file'; id: number; run_json: string; version: number; params: ArrayBuffer };

/** Predict worker to page. A text comes in pieces; `done` ends it. */
export type FromPredict =
  | { kind: 'loaded'; id: number }
  | { kind: 'prediction'; id: number; probabilities: Float32Array }
  | { kind: 'counts'; id: number; counts: Uint32Array }
  | { kind: 'text'; id: number; text: string }
  | { kind: 'done'; id: number }
  | { kind: 'file'; id: number; bytes: Uint8Array<ArrayBuffer> }
  | { kind: 'failed'; id: number; message: string };
