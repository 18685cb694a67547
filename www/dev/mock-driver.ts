/** A driver that computes nothing: it plays the part that the mock server's scenario names. */
import type { FromDriver, SessionStatus, Settings, ToDriver } from '../src/engine/contract.ts';

const scope = self as unknown as DedicatedWorkerGlobalScope;
const TICK_MS = 150;
const LEASE = 32;

const status: SessionStatus = {
  state: 'connecting',
  reason: 'Opening the connection to the server.',
  pause_reason: null,
  retry_in_ms: null,
  stop_code: null,
  run: null,
  version: 1_204,
  steps_total: 4_690,
  loading: null,
  lease: null,
  samples_computed: 0,
  samples_accepted: 0,
  samples_credited: 0,
  samples_rejected: 0,
  rejections: [],
  bytes_up: 0,
  bytes_down: 0,
  samples_per_s: 0,
  busy_ratio: 0,
  lanes: 1,
  arithmetic_class: 'portable',
  backend: null,
  first_accepted_ms: null,
};

const REASONS: Record<string, string> = {
  user: 'You paused it. Press Resume to go on.',
  on_battery: 'Paused while the device runs on battery.',
};

let settings: Settings = { duty_percent: 100, lanes: 1, gpu: 'off' };
let timer: ReturnType<typeof setInterval> | undefined;
let part = 'computing';

const post = (message: FromDriver): void => scope.postMessage(message);

function tell(change: Partial<SessionStatus>): void {
  Object.assign(status, change);
  post({ kind: 'status', status: structuredClone(status) });
}

function stop(stop_code: string, reason: string): void {
  clearInterval(timer);
  tell({ state: 'stopped', stop_code, reason, lease: null });
}

function tick(): void {
  if (status.state !== 'computing') return;
  const done = (status.lease?.done ?? 0) + settings.lanes;
  const samples = settings.lanes * 32;
  const whole = done >= LEASE;
  const rejecting = part === 'rejecting' && status.samples_computed > 3_000;
  tell({
    version: status.version + (whole ? 3 : 0),
    lease: { done: whole ? 0 : done, total: LEASE, samples: LEASE * 32 },
    samples_computed: status.samples_computed + samples,
    samples_accepted: status.samples_accepted + (whole && !rejecting ? LEASE * 32 : 0),
    samples_credited: whole && !rejecting ? status.samples_accepted : status.samples_credited,
    samples_rejected: status.samples_rejected + (whole && rejecting ? LEASE * 32 : 0),
    rejections: rejecting ? [{ reason: 'the step was committed before the update came', count: 2 }] : [],
    bytes_up: status.bytes_up + (whole ? 407_080 : 0),
    bytes_down: status.bytes_down + (whole ? 407_080 : 0),
    samples_per_s: (samples / TICK_MS) * 1_000,
    busy_ratio: (settings.duty_percent / 100) * 0.97,
    lanes: settings.lanes,
    first_accepted_ms: status.first_accepted_ms ?? (whole ? 1_840 : null),
  });
}

function compute(): void {
  tell({ state: 'computing', reason: null, pause_reason: null, retry_in_ms: null });
  clearInterval(timer);
  timer = setInterval(tick, TICK_MS);
}

async function start(run: string | null): Promise<void> {
  tell({ run });
  const scenario = (await (await fetch('/mock')).json()) as { driver: string };
  part = scenario.driver;
  if (status.state !== 'connecting') return;
  if (part === 'version_mismatch') stop(part, 'The server speaks protocol 2 and this page speaks 1. Reload the page to get the new one.');
  else if (part === 'refused') stop(part, 'The server is full at the moment. Try again in a few minutes.');
  else if (part === 'backoff') tell({ state: 'backoff', reason: 'The connection to the server was lost.', retry_in_ms: 24_000 });
  else if (part === 'crash') throw new Error('the mock engine was told to crash');
  else compute();
}

scope.onmessage = (event: MessageEvent<ToDriver>): void => {
  const message = event.data;
  if (message.kind === 'start') {
    ({ settings } = message);
    // A rejection nobody handles would stay inside the worker; an error event reaches the page.
    start(message.run).catch((error: unknown) => setTimeout(() => { throw error; }));
  } else if (message.kind === 'pause') {
    tell({ state: 'paused', pause_reason: message.reason, reason: REASONS[message.reason] ?? 'Paused.' });
  } else if (message.kind === 'finish') {
    setTimeout(() => stop('finished', 'All work is handed in. Thank you for the time.'), 400);
  } else if (message.kind === 'settings') {
    ({ settings } = message);
  } else if (message.kind === 'standing') {
    const standing = { samples: status.samples_credited, rank: 3, of: 12 };
    post({ kind: 'standing', standing, name: message.name?.name ?? null, problem: null });
  } else if (message.kind !== 'online') {
    compute();
  }
};
