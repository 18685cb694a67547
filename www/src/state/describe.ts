/**
 * Turns everything the page knows into the one heading, the one sentence and the verbs that
 * stand at its top. Pure, so that the promise "there is always a sentence why it is not
 * computing" is a property of one function.
 */
import type { RunStatus } from '../api/types.ts';
import { OUT_OF_MEMORY } from '../engine/contract.ts';
import { said, texts } from '../texts.ts';
import { isActive, type SessionView } from './session.ts';

/** How the state is colored. */
export type Tone = 'calm' | 'busy' | 'held' | 'trouble';

/** What the volunteer can do now. */
export type Verb = 'start' | 'pause' | 'resume' | 'finish' | 'retry' | 'reload' | 'restart';

/** The top of the page in words. */
export interface Description {
  /** Stable name of the state, for styles and tests. */
  state: string;
  heading: string;
  reason: string;
  tone: Tone;
  verbs: Verb[];
  /** When something is tried again by itself. */
  retryAtMs: number | null;
}

/** Everything the description depends on. */
export interface DescribeInputs {
  session: SessionView;
  run: RunStatus | null;
  userPaused: boolean;
  finishing: boolean;
  /** The page's own requests to the server. */
  server: { known: boolean; failures: number; nextAtMs: number };
}

/** Describes the page's state. The reason is never empty. */
export function describe(inputs: DescribeInputs): Description {
  const { session } = inputs;
  if (session.phase === 'failed') {
    const failure = session.failure ?? '';
    return plain('failed', memoryRanOut(failure) ?? texts.failed(failure), 'trouble', ['restart']);
  }
  if (session.phase === 'stopped') return describeStopped(session);
  if (isActive(session)) return describeActive(inputs);
  return describeReady(inputs);
}

/** What helps where the engine got no more memory; null where something else ended it. */
function memoryRanOut(message: string | null): string | null {
  return message?.includes(OUT_OF_MEMORY) ? texts.outOfMemory : null;
}

function plain(state: string, reason: string, tone: Tone, verbs: Verb[]): Description {
  return { state, heading: texts.headings[state] ?? state, reason, tone, verbs, retryAtMs: null };
}

function describeReady({ run, server }: DescribeInputs): Description {
  if (server.failures > 0) {
    const away = plain('ready', texts.serverAway, 'trouble', ['start', 'retry']);
    return { ...away, heading: texts.headings['away'] ?? '', retryAtMs: server.nextAtMs };
  }
  if (!server.known) return plain('ready', texts.askingServer, 'calm', ['start']);
  if (run === null) return plain('ready', texts.noRuns, 'calm', []);
  if (run.phase === 'finished') return plain('ready', texts.runAlreadyFinished, 'calm', []);
  if (run.phase === 'stopped') return plain('ready', texts.runAlreadyStopped, 'calm', []);
  return plain('ready', texts.notStarted, 'calm', ['start']);
}

function describeStopped({ status }: SessionView): Description {
  const code = status?.stop_code ?? 'finished';
  const told = status?.reason ? said(status.reason) : null;
  switch (code) {
    case 'version_mismatch':
      return plain(code, told ?? texts.stopped.version_mismatch, 'trouble', ['reload']);
    case 'refused':
      return plain(code, told ?? texts.stopped.refused, 'trouble', ['restart']);
    case 'engine_failed':
      return plain(code, memoryRanOut(told) ?? told ?? texts.stopped.engine_failed, 'trouble', ['restart']);
    case 'run_finished':
      return plain(code, told ?? texts.stopped.run_finished, 'calm', []);
    default:
      return plain('finished', told ?? texts.stopped.finished, 'calm', ['start']);
  }
}

function describeActive({ session, userPaused, finishing }: DescribeInputs): Description {
  const { status, retryAtMs } = session;
  const verbs: Verb[] = finishing ? [] : [userPaused ? 'resume' : 'pause', 'finish'];
  if (status === null) return plain('starting', texts.starting, 'calm', verbs);
  const { state } = status;
  const reason = status.reason === null ? fallbackReason(session) : said(status.reason);
  if (finishing && state !== 'backoff') return plain('finishing', texts.finishing, 'busy', verbs);
  if (state === 'computing') return plain(state, texts.computing(status), 'busy', verbs);
  if (state === 'backoff') {
    return { ...plain(state, reason, 'trouble', ['retry', ...verbs]), retryAtMs };
  }
  if (state === 'paused') {
    // Paused by a battery rule: the volunteer may overrule it. Other rules end by themselves.
    const byBattery =
      status.pause_reason === 'on_battery' || status.pause_reason === 'battery_low';
    const held: Verb[] = byBattery && !userPaused && !finishing ? ['resume', 'finish'] : verbs;
    return plain(state, reason, 'held', held);
  }
  return plain(state, reason, 'calm', verbs);
}

function fallbackReason({ status }: SessionView): string {
  if (status === null) return texts.starting;
  if (status.state === 'loading' && status.loading !== null) return texts.loading(status.loading);
  if (status.state === 'paused' && status.pause_reason !== null) {
    return texts.paused[status.pause_reason];
  }
  return texts.waiting[status.state] ?? texts.starting;
}
