// A tab that trains on its GPU, alone and beside a native worker, and what becomes of its work when the GPU fails.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Server } from '../lib/server.mjs';
import { isLane, openBrowser, Tab } from '../lib/tab.mjs';
import { until } from '../lib/wait.mjs';

const FIXTURE = 'mnist-gpu.toml';
/** One epoch of the recipe comes to 0.932 on the CPU; less what runs differ by. */
const ACCURACY_MIN = 0.92;
const TRAINING_LIMIT_MS = 600_000;
/** Kernels are compiled and tested before the first task is computed by them. */
const CHOICE_LIMIT_MS = 240_000;
/** An answer of the GPU is waited for half as long. */
const FALLBACK_LIMIT_MS = 60_000;

/** So many of the processor's show that it goes on: tens of tasks. */
const MORE_SAMPLES = 5_000;

/** Keeps the device that the engine is going to ask for. Runs in the lane, before it does. */
function keepDevice() {
  const { requestDevice } = GPUAdapter.prototype;
  GPUAdapter.prototype.requestDevice = async function (...args) {
    self.kept = await requestDevice.apply(this, args);
    return self.kept;
  };
}

/** What GPUs do to those that rely on them, in the words of the page and as code that runs in the lane. */
const FAULTS = [
  ['the device is lost', () => self.kept.destroy()],
  ['a reading never comes', () => {
    GPUBuffer.prototype.mapAsync = () => new Promise(() => {});
  }],
  ['a reading brings nothing but zeros', () => {
    const { getMappedRange } = GPUBuffer.prototype;
    GPUBuffer.prototype.getMappedRange = function (...args) {
      const range = getMappedRange.apply(this, args);
      new Uint8Array(range).fill(0);
      return range;
    };
  }],
];

/** A tab that works with one lane, on the GPU however slow, once its page says that it does; with that lane. */
async function volunteer(t, browser, server) {
  const tab = await Tab.open(browser, server.origin);
  await tab.remember({ settings: { duty_percent: 100, lanes: 1, gpu: 'always' } });
  const lane = tab.page.waitForEvent('worker', { predicate: isLane });
  const joined = tab.volunteer(CHOICE_LIMIT_MS);
  await (await lane).evaluate(keepDevice);
  await joined;
  await untilHelp(tab, CHOICE_LIMIT_MS, 'In use');
  t.diagnostic(await help(tab).textContent());
  return { tab, lane: await lane };
}

const help = (tab) => tab.page.locator('#rule-gpu-help');

/** Waits until the page says of the GPU something that begins like that. */
async function untilHelp(tab, limit_ms, beginning) {
  await until(
    `“${beginning}”`,
    limit_ms,
    async () => (await help(tab).textContent()).startsWith(beginning),
    async () => `— the page says: ${await help(tab).textContent()}`,
  );
}

async function untilTrained(t, server) {
  const final = await server.untilFinished(TRAINING_LIMIT_MS);
  t.diagnostic(`test accuracy ${(100 * final.eval.accuracy).toFixed(2)} %`);
  assert.ok(final.eval.accuracy >= ACCURACY_MIN, `accuracy ${final.eval.accuracy}`);
}

test('a tab trains on its GPU', { timeout: 3_600_000 }, async (t) => {
  const browser = await openBrowser(t, { gpu: true });

  await t.test('alone, to the same quality', async (t) => {
    const server = await Server.start(t, 'gpu-alone', FIXTURE);
    const { tab } = await volunteer(t, browser, server);
    await untilTrained(t, server);
    assert.match(await help(tab).textContent(), /^In use/);
    assert.deepEqual(tab.problems, []);
    await tab.close();
  });

  await t.test('beside a native worker without one', async (t) => {
    const server = await Server.start(t, 'gpu-mixed', FIXTURE);
    const { tab } = await volunteer(t, browser, server);
    server.addWorker('--lanes', '1', '--duty', '20', '--backend', 'cpu');
    await untilTrained(t, server);
    assert.ok((await tab.value('samples-accepted')) > 0, 'the tab did nothing');
    assert.deepEqual(tab.problems, []);
    await tab.close();
  });

  for (const [idx, [name, fault]] of FAULTS.entries()) {
    await t.test(`${name}: the processor goes on, and the page says why`, async (t) => {
      const server = await Server.start(t, `gpu-fault-${idx}`, FIXTURE);
      const { tab, lane } = await volunteer(t, browser, server);
      await lane.evaluate(fault);
      await untilHelp(tab, FALLBACK_LIMIT_MS, 'The processor computes');
      t.diagnostic(await help(tab).textContent());
      const accepted = await tab.value('samples-accepted');
      await tab.untilValue('samples-accepted', accepted + MORE_SAMPLES, FALLBACK_LIMIT_MS);
      assert.equal(await tab.value('samples-rejected'), 0, 'work of the broken GPU was sent');
      assert.deepEqual(tab.problems, []);
      await tab.close();
    });
  }
});
