/**
 * What the page and the engine's workers say to each other.
 *
 * The page never computes: `worker/driver.ts` hosts the session and its lanes, and
 * `worker/predict.ts` runs the model forward for "Try the model". Both are dedicated module
 * workers, and these types are the only thing that page and workers share.
 */

/** Why the volunteer, the device or the page asked the engine to hold. */
export type PauseReason = 'user' | 'hidden' | 'on_battery' | 'battery_low' | 'offline' | 'data_cap';

/** What the volunteer allows the engine to use. */
export interface Settings {
  /** Share of each lane's time that may be spent computing, 10 to 100. */
  duty_percent: number;
  /** Lanes computing side by side, at least 1. */
  lanes: number;
}

/** Page to driver. `start` comes first and once; a stopped driver is replaced, not restarted. */
export type ToDriver =
  | { kind: 'start'; server: string /* http(s) origin */; run: string | null; settings: Settings }
  | { kind: 'pause'; reason: PauseReason }
  | { kind: 'resume' }
  | { kind: 'finish' }
  | { kind: 'retry_now' }
  | { kind: 'settings'; settings: Settings }
  | { kind: 'online'; online: boolean };

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
  /** Milliseconds from start to the first accepted update. */
  first_accepted_ms: number | null;
}

/** Driver to page. After `fatal` the driver says nothing more. */
export type FromDriver =
  | { kind: 'status'; status: SessionStatus }
  | { kind: 'fatal'; message: string };

/** Page to predict worker. `id` comes back with the answer. */
export type ToPredict =
  | { kind: 'load'; id: number; run_json: string; params: ArrayBuffer }
  | { kind: 'predict'; id: number; input: Float32Array };

/** Predict worker to page. */
export type FromPredict =
  | { kind: 'loaded'; id: number }
  | { kind: 'prediction'; id: number; probabilities: Float32Array }
  | { kind: 'failed'; id: number; message: string };
