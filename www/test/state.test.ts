import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RunPhase, RunStatus } from '../src/api/types.ts';
import { OUT_OF_MEMORY, type SessionState, type SessionStatus } from '../src/engine/contract.ts';
import { describe as describeState, type DescribeInputs } from '../src/state/describe.ts';
import {
  EMPTY_HISTORY,
  HISTORY_POINTS_MAX,
  historyCursor,
  mergeHistory,
  pickRows,
  smooth,
  wentBack,
} from '../src/state/history.ts';
import { READY_SESSION, reduceSession, type SessionView } from '../src/state/session.ts';
import { SEEDS, seedPositions, seedShares } from '../src/state/sunflower.ts';

const STATUS: SessionStatus = {
  state: 'computing',
  reason: null,
  pause_reason: null,
  retry_in_ms: null,
  stop_code: null,
  run: 'mnist-mlp',
  version: 3,
  steps_total: 10,
  loading: null,
  lease: null,
  samples_computed: 64,
  samples_accepted: 32,
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

function after(...statuses: Partial<SessionStatus>[]): SessionView {
  let view = reduceSession(READY_SESSION, { kind: 'started' });
  for (const change of statuses) {
    const message = { kind: 'status' as const, status: { ...STATUS, ...change } };
    view = reduceSession(view, { kind: 'message', message, nowMs: 1_000 });
  }
  return view;
}

test('session: starts, lives, stops, and ignores echoes afterwards', () => {
  assert.equal(after().phase, 'starting');
  assert.equal(after({}).phase, 'live');
  const stopped = after({}, { state: 'stopped', stop_code: 'finished' });
  assert.equal(stopped.phase, 'stopped');
  const late = { kind: 'message' as const, message: { kind: 'status' as const, status: STATUS } };
  assert.equal(reduceSession(stopped, { ...late, nowMs: 0 }), stopped);
  assert.equal(reduceSession(READY_SESSION, { ...late, nowMs: 0 }), READY_SESSION);
});

test('session: a retry is kept as a time on the page clock', () => {
  assert.equal(after({ state: 'backoff', retry_in_ms: 4_000 }).retryAtMs, 5_000);
  assert.equal(after({ state: 'backoff', retry_in_ms: 4_000 }, {}).retryAtMs, null);
});

test('session: a crash keeps the figures and says what happened', () => {
  const crashed = reduceSession(after({}), { kind: 'crashed', message: 'a cosmic ray' });
  assert.equal(crashed.phase, 'failed');
  assert.equal(crashed.status?.samples_accepted, 32);
  assert.match(describeState(inputs({ session: crashed })).reason, /a cosmic ray/);
  const starved = reduceSession(after({}), { kind: 'crashed', message: `A lane is ${OUT_OF_MEMORY}` });
  assert.match(describeState(inputs({ session: starved })).reason, /no more memory.*fewer lanes/);
  const fatal = reduceSession(after({}), {
    kind: 'message',
    message: { kind: 'fatal', message: 'trap' },
    nowMs: 0,
  });
  assert.equal(fatal.failure, 'trap');
  assert.equal(reduceSession(crashed, { kind: 'started' }).phase, 'starting');
});

test('session: finishing that takes too long is cut off', () => {
  const cut = reduceSession(after({}), { kind: 'cut_off', reason: 'no answer' });
  assert.deepEqual([cut.phase, cut.status?.reason], ['stopped', 'no answer']);
  assert.equal(reduceSession(after(), { kind: 'cut_off', reason: '' }).phase, 'ready');
});

const RUN = { name: 'mnist-mlp', phase: 'running' as RunPhase } as RunStatus;

function inputs(change: Partial<DescribeInputs>): DescribeInputs {
  return {
    session: READY_SESSION,
    run: RUN,
    userPaused: false,
    finishing: false,
    server: { known: true, failures: 0, nextAtMs: 0 },
    ...change,
  };
}

test('there is always a sentence, whatever the state', () => {
  const states: SessionState[] = [
    'connecting',
    'joining',
    'loading',
    'idle',
    'computing',
    'paused',
    'backoff',
    'stopped',
  ];
  const codes = [null, 'finished', 'version_mismatch', 'refused', 'run_finished', 'engine_failed'];
  for (const state of states) {
    for (const stop_code of codes) {
      const session = after({ state, stop_code });
      const { heading, reason } = describeState(inputs({ session }));
      assert.ok(heading.length > 0 && reason.length > 0, `${state} ${stop_code}`);
    }
  }
  for (const run of [null, ...['created', 'paused', 'finished', 'stopped'].map((phase) => ({ ...RUN, phase: phase as RunPhase }))]) {
    assert.ok(describeState(inputs({ run })).reason.length > 0);
  }
});

test('the engine\'s own sentence is shown verbatim', () => {
  const session = after({ state: 'paused', reason: 'The operator paused the run.' });
  assert.equal(describeState(inputs({ session })).reason, 'The operator paused the run.');
});

test('verbs follow the state', () => {
  const verbs = (change: Partial<DescribeInputs>) => describeState(inputs(change)).verbs.join(' ');
  assert.equal(verbs({}), 'start');
  assert.equal(verbs({ run: { ...RUN, phase: 'finished' } }), '');
  assert.equal(verbs({ session: after({}) }), 'pause finish');
  assert.equal(verbs({ session: after({ state: 'paused', pause_reason: 'user' }), userPaused: true }), 'resume finish');
  assert.equal(verbs({ session: after({ state: 'paused', pause_reason: 'on_battery' }) }), 'resume finish');
  assert.equal(verbs({ session: after({ state: 'paused', pause_reason: 'hidden' }) }), 'pause finish');
  assert.equal(verbs({ session: after({ state: 'backoff' }) }), 'retry pause finish');
  assert.equal(verbs({ session: after({}), finishing: true }), '');
  assert.equal(verbs({ session: after({ state: 'stopped', stop_code: 'version_mismatch' }) }), 'reload');
  assert.equal(verbs({ session: after({ state: 'stopped', stop_code: 'refused' }) }), 'restart');
  assert.equal(verbs({ session: after({ state: 'stopped', stop_code: 'finished' }) }), 'start');
  assert.equal(verbs({ server: { known: false, failures: 2, nextAtMs: 0 } }), 'start retry');
});

const steps = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, idx) => ({ version: from + idx, train_loss: 1 }));
const evaluation = (version: number) => ({ version, loss: 1, accuracy: 0.9 });

test('history grows without doubles and asks for what is missing', () => {
  let history = mergeHistory(EMPTY_HISTORY, { steps: steps(1, 5), evals: [] });
  history = mergeHistory(history, { steps: steps(4, 8), evals: [] });
  assert.deepEqual(history.steps.map((point) => point.version), [1, 2, 3, 4, 5, 6, 7, 8]);
  assert.equal(historyCursor(history, null), 8);
  assert.equal(mergeHistory(history, { steps: steps(2, 8), evals: [] }), history);
  // The evaluation of step 6 arrives after step 8: the page asks from before it.
  assert.equal(historyCursor(history, 6), 0);
  history = mergeHistory(history, { steps: steps(1, 8), evals: [evaluation(6)] });
  assert.equal(historyCursor(history, 6), 8);
  assert.equal(history.steps.length, 8);
});

test('history notices that a run went back', () => {
  const history = mergeHistory(EMPTY_HISTORY, { steps: steps(1, 8), evals: [] });
  assert.equal(wentBack(history, 8), false);
  assert.equal(wentBack(history, 7), true);
});

test('history stays short and keeps the newest', () => {
  let history = EMPTY_HISTORY;
  for (let page = 0; page < 10; page++) {
    history = mergeHistory(history, { steps: steps(page * 1_000 + 1, page * 1_000 + 1_000), evals: [] });
    assert.ok(history.steps.length <= HISTORY_POINTS_MAX);
  }
  assert.equal(history.steps.at(-1)?.version, 10_000);
  assert.equal(history.steps[0]?.version, 1);
});

test('smoothing starts at the first value; rows are picked with both ends', () => {
  assert.deepEqual(smooth([]), []);
  assert.ok(smooth([2, 2, 2]).every((value) => Math.abs(value - 2) < 1e-12));
  assert.deepEqual(pickRows([1, 2, 3], 5), [1, 2, 3]);
  assert.deepEqual(pickRows([0, 1, 2, 3, 4, 5, 6, 7, 8], 3), [0, 4, 8]);
});

test('sunflower: seeds stay in the picture and shares stay within what is committed', () => {
  assert.ok(seedPositions().every(({ x, y, radius }) => Math.hypot(x, y) + radius <= 100));
  const share = (version: number, credited: number) =>
    seedShares({ version, stepsTotal: 100, samplesCommitted: version * 10, samplesCredited: credited });
  assert.deepEqual(share(0, 0), { committed: 0, mine: 0 });
  assert.deepEqual(share(1, 1), { committed: 3, mine: 1 });
  assert.deepEqual(share(50, 250), { committed: SEEDS / 2, mine: SEEDS / 4 });
  assert.deepEqual(share(100, 5_000), { committed: SEEDS, mine: SEEDS });
});
