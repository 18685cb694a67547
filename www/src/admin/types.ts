/** The admin API's JSON, as the console reads it. Field names are the server's. */
import type { RunStatus } from '../api/types.ts';

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
}

/** One of them. */
export interface WorkerRow {
  worker_id: string;
  kind: 'browser' | 'native';
  software: string;
  lanes: number;
  connected: boolean;
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
