// Exported models in ONNX Runtime: they give what the engine gives. `onnx-cases` wrote the models, the inputs and
// the engine's outputs; see tests/src/bin/onnx-cases.rs.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import ort from 'onnxruntime-web';

/** Of the value, or absolute where values are below 1: sums are not in the same order. */
const TOLERANCE = 1e-5;
const RANDOM_MODELS = 60;

const folder = process.env.TABSWARM_ONNX_CASES;
assert.ok(folder, 'TABSWARM_ONNX_CASES names the folder that onnx-cases has filled');
ort.env.wasm.numThreads = 1;
// It would warn of constants that it folds.
ort.env.logLevel = 'error';

const bytes = (name) => readFileSync(join(folder, name));
/** A view needs an aligned start, which a file's buffer does not promise. */
const aligned = (name) => Uint8Array.from(bytes(name)).buffer;
const cases = JSON.parse(bytes('cases.json').toString());

/** The largest difference of a model's outputs, in units of the tolerance. */
async function compare(one) {
  const session = await ort.InferenceSession.create(bytes(one.model));
  const input = one.tokens
    ? new ort.Tensor('int64', new BigInt64Array(aligned(one.input)), one.shape)
    : new ort.Tensor('float32', new Float32Array(aligned(one.input)), one.shape);
  const results = await session.run({ input });
  assert.deepEqual(Object.keys(results).sort(), one.outputs.map(({ name }) => name).sort());
  let worst = 0;
  for (const { name, file } of one.outputs) {
    const expected = new Float32Array(aligned(file));
    const got = results[name].data;
    assert.equal(got.length, expected.length, `${one.name}: ${name}`);
    for (let idx = 0; idx < expected.length; idx += 1) {
      const difference = Math.abs(got[idx] - expected[idx]);
      const allowed = TOLERANCE * Math.max(1, Math.abs(expected[idx]));
      assert.ok(
        difference <= allowed,
        `${one.name}: ${name}[${idx}] is ${got[idx]} instead of ${expected[idx]}`,
      );
      worst = Math.max(worst, difference / allowed);
    }
  }
  await session.release();
  return worst;
}

const works = cases.filter(({ name }) => !name.startsWith('random-'));
const random = cases.filter(({ name }) => name.startsWith('random-'));

for (const one of works) {
  test(`${one.name} on ${one.shape[0]} real samples`, async (context) => {
    context.diagnostic(`at most ${(await compare(one)).toFixed(3)} of the tolerance`);
  });
}

test(`${RANDOM_MODELS} random models`, async (context) => {
  assert.equal(random.length, RANDOM_MODELS);
  let worst = 0;
  for (const one of random) worst = Math.max(worst, await compare(one));
  context.diagnostic(`at most ${worst.toFixed(3)} of the tolerance`);
});

test('the three works are there', () => {
  assert.deepEqual(works.map(({ name }) => name).sort(), ['char-gpt', 'mnist-cnn', 'mnist-mlp']);
});
