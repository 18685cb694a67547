import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { periodOf, periods } from '../src/admin/periods.ts';
import { firstPages } from '../src/admin/pages.ts';
import { placeOf, runAddress, settingsAddress } from '../src/admin/place.ts';
import { placesOf, written } from '../src/admin/toml-places.ts';
import type { WorkerRow } from '../src/admin/types.ts';
import { compareWorkers, matches, stateOf } from '../src/admin/worker-table.ts';

const WORKER: WorkerRow = {
  worker_id: 'w2',
  identity: '0'.repeat(64),
  kind: 'native',
  software: 'tabswarm-worker 0.1.0',
  lanes: 2,
  connected: true,
  state: 'connected',
  paused: null,
  run: 'mnist-mlp',
  micro_batches_per_s: 12.5,
  samples_accepted: 640,
  samples_credited: 320,
  updates_rejected: 1,
};

test('an address names a page, whatever else it holds', () => {
  assert.deepEqual(placeOf('#workers'), { page: 'workers' });
  assert.deepEqual(placeOf(runAddress('a b/c')), { page: 'run', run: 'a b/c' });
  assert.deepEqual(placeOf('#tokens'), { page: 'tokens' });
  assert.deepEqual(placeOf(settingsAddress('a b/c')), { page: 'settings', run: 'a b/c' });
  for (const hash of ['', '#', '#settings', '#run', '#nothing']) assert.deepEqual(placeOf(hash), { page: 'overview' }, hash);
  assert.deepEqual(placeOf('#run/%'), { page: 'run', run: '%' });
});

test('a period is chosen by name, and one of them has no end', () => {
  const choices = periods('for good').map(([choice]) => [choice, periodOf(choice)]);
  assert.deepEqual(choices.slice(0, 2), [
    ['1h', 3_600],
    ['1d', 86_400],
  ]);
  assert.deepEqual(choices.at(-1), ['endless', null]);
  assert.ok(periods('for good').every(([choice, name]) => name !== choice));
});

test('a worker is away, paused, sent away, banned or connected', () => {
  assert.equal(stateOf(WORKER), 'connected');
  assert.equal(stateOf({ ...WORKER, paused: 'on_battery' }), 'paused: on battery');
  assert.equal(stateOf({ ...WORKER, paused: 'user', connected: false }), 'away');
  assert.equal(stateOf({ ...WORKER, state: 'draining' }), 'draining');
  assert.equal(stateOf({ ...WORKER, connected: false, state: 'banned' }), 'banned');
});

test('a filter finds workers by all of its words', () => {
  for (const filter of ['', 'W2', 'mnist native', 'connected 0.1']) assert.ok(matches(WORKER, filter), filter);
  for (const filter of ['w20', 'mnist browser']) assert.ok(!matches(WORKER, filter), filter);
});

test('workers are ordered by number where there are numbers', () => {
  const tenth = { ...WORKER, worker_id: 'w10', micro_batches_per_s: null, run: null };
  assert.ok(compareWorkers(WORKER, tenth, 'worker_id') < 0);
  assert.ok(compareWorkers(WORKER, tenth, 'micro_batches_per_s') > 0);
  assert.ok(compareWorkers(WORKER, tenth, 'run') > 0);
  assert.equal(compareWorkers(WORKER, tenth, 'lanes'), 0);
});

const template = (name: string): string =>
  readFileSync(new URL(`../../../server/src/cli/templates/${name}.toml`, import.meta.url), 'utf8');

test('a form finds its fields in every template', () => {
  const places = (name: string): Record<string, string> => Object.fromEntries(placesOf(template(name)));
  assert.deepEqual(places('csv'), {
    name: 'NAME',
    title: 'A table',
    description: 'What is learned here, and what for.',
    path: 'iris/iris.csv',
    label: 'species',
    columns: '4',
    classes: '3',
    epochs: '50',
    micro_batch: '5',
    global_batch: '15',
    optimizer: 'adam',
    learning_rate: '0.01',
  });
  for (const name of ['mlp', 'cnn']) {
    assert.equal(places(name)['classes'], '10', name);
    assert.equal(places(name)['columns'], undefined, name);
  }
  assert.equal(places('gpt')['classes'], undefined);
  assert.equal(places('gpt')['optimizer'], 'adamw');
});

test('what a form writes changes these places and nothing else', () => {
  const before = template('csv');
  const values = { title: 'Flowers "of" \\ Ödön\n$&', columns: ' 7 ', classes: '5', learning_rate: '3e-4' };
  const after = written(before, values);
  const lines = before.split('\n');
  const changed = after.split('\n').flatMap((line, idx) => (line === lines[idx] ? [] : [line]));
  assert.deepEqual(changed, [
    'title = "Flowers \\"of\\" \\\\ Ödön\\n$&"',
    'input = [7]',
    '    { kind = "dense", units = 5 },',
    'learning_rate = 3e-4',
  ]);
  assert.equal(Object.fromEntries(placesOf(after))['title'], values.title);
  assert.equal(written(after, {}), after);
  // The server says then what is missing; the form can still be filled in.
  assert.match(written(before, { epochs: '' }), /^epochs = $/m);
});

test('a list is read page by page, as far as it was asked for and as it goes', async () => {
  const all = [1, 2, 3, 4, 5, 6, 7];
  const asked: (number | null)[] = [];
  const read = (after: number | null) => {
    asked.push(after);
    const rows = all.filter((row) => row > (after ?? 0)).slice(0, 3);
    return Promise.resolve({ rows, next: rows.length === 3 ? (rows.at(-1) ?? null) : null });
  };
  assert.deepEqual(await firstPages(read, 1), { rows: [1, 2, 3], next: 3 });
  assert.deepEqual(await firstPages(read, 2), { rows: [1, 2, 3, 4, 5, 6], next: 6 });
  assert.deepEqual(await firstPages(read, 9), { rows: all, next: null });
  assert.deepEqual(asked, [null, null, 3, null, 3, 6]);
});
