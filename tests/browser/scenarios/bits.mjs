// Same bits: both wasm builds give the gradients that this machine gives natively, to the last bit.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { DIGESTS_BIN } from '../lib/environment.mjs';
import { Module, serveModules } from '../lib/modules.mjs';
import { openBrowser } from '../lib/tab.mjs';

const BUILDS = ['simd128', 'relaxed'];
/** The known-answer test is run by every volunteer before anything else: its own time, without compilation. */
const KNOWN_ANSWER_MAX_MS = 20;
const MAX_OUTPUT_BYTES = 1 << 20;

test('gradients have the same bits natively and in the browser', { timeout: 600_000 }, async (t) => {
  // It forces every path that this machine has and prints only what they agree on.
  const native = JSON.parse(execFileSync(DIGESTS_BIN, { maxBuffer: MAX_OUTPUT_BYTES, encoding: 'utf8' }));
  const origin = await serveModules(t);
  const browser = await openBrowser(t);
  assert.ok(native.classes.portable, 'every machine is portable');

  for (const build of BUILDS) {
    for (const [name, expected] of Object.entries(native.classes)) {
      // The plain build has no instruction that fuses.
      if (name === 'fused' && build === 'simd128') continue;
      await t.test(`${build}, ${name}`, async (t) => {
        const module = await Module.load(browser, origin, build);
        const digest = async (...call) => {
          const { value, error } = await module.call(...call, name);
          assert.equal(error, undefined, call[0]);
          return value;
        };
        for (const [seed, native] of expected.random_graphs.entries()) {
          assert.equal(await digest('random_graph_digest', seed), native, `random graph ${seed}`);
        }
        for (const [run, native_digest] of Object.entries(expected.runs)) {
          assert.equal(await digest('run_digest', native.runs[run]), native_digest, run);
        }
        t.diagnostic(`${expected.random_graphs.length} random graphs and ${Object.keys(expected.runs).join(', ')}`);
        await module.close();
      });
    }
  }

  await t.test('the known-answer test is quick', async (t) => {
    const module = await Module.load(browser, origin, 'relaxed');
    const took_ms = [];
    for (let i = 0; i < 4; i += 1) {
      const { took_ms: once_ms, error } = await module.call('known_answer', 'portable');
      assert.equal(error, undefined);
      took_ms.push(once_ms);
    }
    const [first_ms, ...later_ms] = took_ms;
    // The first time the browser compiles whatever is called, which the first lease would have it do otherwise.
    t.diagnostic(`known answers took ${first_ms.toFixed(1)} ms, then ${later_ms.map((ms) => ms.toFixed(1)).join(', ')} ms`);
    assert.ok(Math.min(...later_ms) <= KNOWN_ANSWER_MAX_MS, `it took ${took_ms} ms`);
    await module.close();
  });
});
