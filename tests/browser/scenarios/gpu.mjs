// The GPU in a tab: every kernel against its twin, and whole gradients. A browser without an adapter fails.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { DIGESTS_BIN } from '../lib/environment.mjs';
import { Module, serveModules } from '../lib/modules.mjs';
import { openBrowser } from '../lib/tab.mjs';

const MAX_OUTPUT_BYTES = 1 << 20;
const COSINE_MIN = 0.9999;
const DIFFERENCE_MAX = 1e-4;

/** A run with that model, as the engine reads it. */
function run(input, layers, loss = 'softmax_cross_entropy') {
  return JSON.stringify({
    name: 'odd',
    seed: 1,
    data: { format: 'idx', path: 'odd' },
    model: { input, layers, loss },
    train: { epochs: 1, micro_batch: 8, global_batch: 8 },
    optimizer: { kind: 'sgd', learning_rate: 0.1 },
  });
}

const dense = (units) => ({ kind: 'dense', units });
const conv = (channels, more = {}) => ({ kind: 'conv2d', channels, kernel: 3, padding: 'same', ...more });
const flatten = { kind: 'flatten' };
const [relu, gelu, sigmoid, tanh] = ['relu', 'gelu', 'sigmoid', 'tanh'].map((kind) => ({ kind }));
const norm = { kind: 'layer_norm' };

/** Names, models and samples: sizes of one, a tile less one, a tile, a tile and one, and primes. */
const MODELS = [
  ...[1, 7, 8, 9, 31, 32, 33, 63, 64, 65, 127].map((size, idx, sizes) => {
    const outputs = sizes[(idx + 4) % sizes.length];
    return [`dense ${size} by ${outputs}`, run([size], [dense(outputs), gelu, dense(2)]), sizes[(idx + 7) % sizes.length]];
  }),
  ['a long sum', run([5], [dense(7), relu, dense(65)]), 1_021],
  ['activations', run([13], [dense(17), sigmoid, dense(11), tanh, { kind: 'dropout', rate: 0.3 }, dense(3)]), 5],
  ['squares', run([7], [dense(5), relu, dense(3)], 'mse'), 9],
  ['soft targets', run([7], [dense(5), relu, dense(3)], { kind: 'softmax_cross_entropy', targets: 'soft' }), 9],
  ...[1, 7, 16, 17, 33].map((channels) => [
    `${channels} channels`,
    run([5, 4, 3], [conv(channels), relu, conv(5), flatten, dense(3)]),
    2,
  ]),
  ['pools and groups', run(
    [12, 11, 2],
    [conv(6), { kind: 'max_pool', size: 2 }, conv(8, { groups: 2 }), { kind: 'avg_pool', size: 2, stride: 1 }, flatten, dense(7)],
  ), 3],
];
/** A sequence of an odd length through everything that sequences have. */
const SEQUENCE = JSON.stringify({
  ...JSON.parse(run([13], [])),
  data: { format: 'text', path: 'odd', vocabulary: 'characters', context: 13 },
  model: {
    input: [13],
    layers: [
      { kind: 'embedding', vocabulary: 29, width: 24 },
      { kind: 'positional_embedding' },
      { kind: 'residual', layers: [norm, { kind: 'attention', heads: 3 }] },
      { kind: 'residual', layers: [norm, dense(49), gelu, dense(24)] },
      norm,
      { kind: 'tied_dense', bias: true },
    ],
    loss: 'softmax_cross_entropy',
  },
});

test('the GPU in a tab', { timeout: 900_000 }, async (t) => {
  const origin = await serveModules(t);
  const browser = await openBrowser(t, { gpu: true });
  const native = JSON.parse(execFileSync(DIGESTS_BIN, { maxBuffer: MAX_OUTPUT_BYTES, encoding: 'utf8' }));

  await t.test('every kernel is its twin at odd sizes', async (t) => {
    const module = await Module.load(browser, origin, 'gpu');
    let kernels = 0;
    for (const [name, model, samples] of [...MODELS, ['sequences', SEQUENCE, 3]]) {
      const { value, error } = await module.call('gpu_kernels', model, samples);
      assert.equal(error, undefined, name);
      assert.ok(value > 0, name);
      kernels += value;
    }
    t.diagnostic(`${kernels} kernels of ${MODELS.length + 1} models`);
    await module.close();
  });

  await t.test('whole gradients agree with the CPU', async (t) => {
    const module = await Module.load(browser, origin, 'gpu');
    for (const [name, json] of Object.entries(native.runs)) {
      const { value, error } = await module.call('gpu_agreement', json, 2);
      assert.equal(error, undefined, name);
      const [cosine, difference] = value;
      t.diagnostic(`${name}: cosine ${cosine}, relative difference ${difference}`);
      assert.ok(cosine >= COSINE_MIN && difference <= DIFFERENCE_MAX, `${name}: ${value}`);
    }
    await module.close();
  });
});
