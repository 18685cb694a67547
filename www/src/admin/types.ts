/** The admin API's JSON, as the console reads it. Field names are the server's. */
import type { RunStatus, Snapshot } from '../api/types.ts';

/** `GET /admin/runs`. */
export interface AdminRun extends RunStatus {
  run_id: number;
  /** Why it is in its phase, where that was not a command. */
  reason: string | null;
  /** Why its log can't be written, while it can't. */
  storage_problem: string | null;
  /** Committed steps that are not on stable storage yet. */
  undurable_steps: number;
}

/** `GET /admin/workers`. */
export interface WorkerPage {
  workers: WorkerRow[];
  next: string | null;
}

/** One of them. */
export interface WorkerRow {
  worker_id: string;
  /** It is credited, and banned, under this. */
  identity: string;
  kind: 'browser' | 'native';
  software: string;
  lanes: number;
  connected: boolean;
  state: 'connected' | 'paused' | 'draining' | 'away' | 'banned';
  paused: string | null;
  run: string | null;
  micro_batches_per_s: number | null;
  samples_accepted: number;
  samples_credited: number;
  updates_rejected: number;
}

/** One entry of `GET /admin/events`. */
export interface EventRow {
  id: number;
  at_ms: number;
  kind: string;
  run: string | null;
  detail: unknown;
}

/** `GET /admin/events`. */
export interface EventPage {
  events: EventRow[];
  /** To be given as `after` for what comes next. */
  newest: number;
}

/** One entry of `GET /admin/runs/{name}/versions`, oldest first. */
export interface Version {
  version: number;
  params_digest: string;
}

/** `GET /admin/health`. */
export interface Health {
  status: 'ok' | 'degraded';
  reasons: { run: string; reason: string; undurable_steps: number }[];
  ledger: { status: 'ok' | 'degraded'; reason: string | null };
}

/** What a run can be told to do. */
export type RunVerb = 'start' | 'pause' | 'resume' | 'stop';

/** One entry of `GET /admin/runs/{name}/snapshots`, newest first. */
export interface SnapshotRow extends Snapshot {
  /** Null where an older version of the server stored it. */
  made_ms: number | null;
  /** There is a copy that stays until it is unpinned. */
  pinned: boolean;
  /** The run can go back to it: it is not only a pinned copy. */
  kept: boolean;
}

/** `GET /admin/runs/{name}/work`. */
export interface Work {
  mode: 'sync' | 'async' | 'local';
  version: number;
  /** Null where batches make versions as they arrive. */
  round: Round | null;
  applying: boolean;
  leases: Lease[];
  n_leases: number;
  staleness: StaleUpdates[];
  too_stale: number;
  received_bytes: number;
  sent_bytes: number;
}

/** The round in progress. */
export interface Round {
  age_ms: number;
  restarts: number;
  units: number;
  free: number;
  leased: number;
  done: number;
  parts: { count: number; state: 'free' | 'leased' | 'done'; lease_id: number | null }[];
}

/** Units that a worker has. */
export interface Lease {
  lease_id: number;
  worker_id: string;
  version: number;
  staleness: number;
  position: number;
  first: number;
  count: number;
  age_ms: number;
  left_ms: number;
  lapsed: boolean;
  hedge: boolean;
}

/** Accepted updates of about the same staleness; null for all that are older. */
export interface StaleUpdates {
  at_most: number | null;
  updates: number;
}

/** What a token is good for, from the least to the most. */
export const SCOPES = ['metrics', 'read', 'operate', 'admin'] as const;
export type Scope = (typeof SCOPES)[number];

/** One entry of `GET /admin/tokens`. */
export interface TokenRow {
  id: number;
  label: string;
  kind: string;
  scope: Scope | null;
  state: 'valid' | 'expired' | 'revoked';
  created_ms: number;
  expires_ms: number | null;
}

/** A page of them. */
export interface TokenPage {
  tokens: TokenRow[];
  next: number | null;
}

/** `POST /admin/tokens`. */
export interface IssuedToken extends TokenRow {
  /** Shown once, and stored nowhere. */
  token: string;
}

/** One entry of `GET /admin/bans`. */
export interface BanRow {
  identity: string;
  reason: string;
  holds: boolean;
  banned_ms: number;
  until_ms: number | null;
}

/** A page of them. */
export interface BanPage {
  bans: BanRow[];
  next: string | null;
}

/** `POST /admin/validate`. */
export interface Validation {
  valid: boolean;
  mistakes: { place: string; problem: string; remedy: string }[];
  run: { name: string; parameters: number; classes: number; epochs: number; global_batch: number } | null;
}
