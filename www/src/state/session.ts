/**
 * The volunteer's session as the page sees it: a small reducer over the driver's messages.
 * Pure; the store owns the worker and the clock.
 */
import type { FromDriver, SessionStatus } from '../engine/contract.ts';

/**
 * - `ready`: nothing was started since the page was opened.
 * - `starting`: the worker is loading.
 * - `live`: the session speaks.
 * - `stopped`: it ended on its own terms; `status.stop_code` says which.
 * - `failed`: the worker died; `failure` says how.
 */
export type SessionPhase = 'ready' | 'starting' | 'live' | 'stopped' | 'failed';

/** What the page knows of its session. The last status outlives the session. */
export interface SessionView {
  phase: SessionPhase;
  status: SessionStatus | null;
  /** When the session reconnects by itself, on the page's clock. */
  retryAtMs: number | null;
  failure: string | null;
}

/** What may happen to a session. */
export type SessionEvent =
  | { kind: 'started' }
  | { kind: 'message'; message: FromDriver; nowMs: number }
  | { kind: 'crashed'; message: string }
  /** Finishing took too long, so the page ended the worker. */
  | { kind: 'cut_off'; reason: string };

export const READY_SESSION: SessionView = {
  phase: 'ready',
  status: null,
  retryAtMs: null,
  failure: null,
};

/** True from the click on Start until the session ends. */
export function isActive(view: SessionView): boolean {
  return view.phase === 'starting' || view.phase === 'live';
}

/** The next view. Messages that arrive after the end are late echoes and change nothing. */
export function reduceSession(view: SessionView, event: SessionEvent): SessionView {
  if (event.kind === 'started') return { ...READY_SESSION, phase: 'starting' };
  if (!isActive(view)) return view;
  if (event.kind === 'crashed') return fail(view, event.message);
  if (event.kind === 'cut_off') return cutOff(view, event.reason);
  const { message, nowMs } = event;
  if (message.kind === 'fatal') return fail(view, message.message);
  if (message.kind === 'standing') return view;
  const { status } = message;
  return {
    phase: status.state === 'stopped' ? 'stopped' : 'live',
    status,
    retryAtMs:
      status.state === 'backoff' && status.retry_in_ms !== null ? nowMs + status.retry_in_ms : null,
    failure: null,
  };
}

function cutOff(view: SessionView, reason: string): SessionView {
  const status: SessionStatus | null =
    view.status === null
      ? null
      : { ...view.status, state: 'stopped', stop_code: 'finished', reason, lease: null };
  return { phase: status === null ? 'ready' : 'stopped', status, retryAtMs: null, failure: null };
}

function fail(view: SessionView, failure: string): SessionView {
  return { ...view, phase: 'failed', retryAtMs: null, failure };
}
