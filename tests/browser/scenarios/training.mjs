// The main job: two tabs and a native worker train MNIST, one tab leaves midway.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import { Server } from '../lib/server.mjs';
import { openBrowser, Tab } from '../lib/tab.mjs';

const FIXTURE = 'mnist-five-epochs.toml';
/** A promise to volunteers: from the click to the first accepted update, on one machine. */
const FIRST_ACCEPTED_MAX_MS = 5_000;
const ACCURACY_MIN = 0.97;
const TRAINING_LIMIT_MS = 600_000;
/** A duty cycle that leaves time to look. */
const SLOW_PERCENT = 20;
/** Long enough for what was under way at the time of a pause to arrive. */
const SETTLE_MS = 1_000;

test('two tabs and a native worker train MNIST', { timeout: 1_500_000 }, async (t) => {
  const server = await Server.start(t, 'training', FIXTURE);
  const browser = await openBrowser(t);
  const first = await Tab.open(browser, server.origin);

  await t.test('the first update is accepted within five seconds of the click', async () => {
    const took_ms = await first.volunteer(60_000);
    const shown_ms = await first.value('first-accepted');
    t.diagnostic(`first accepted update after ${Math.round(took_ms)} ms; the page says ${Math.round(shown_ms)} ms`);
    assert.ok(took_ms <= FIRST_ACCEPTED_MAX_MS, `it took ${took_ms} ms`);
    assert.ok(shown_ms <= took_ms, `the page claims ${shown_ms} ms of ${took_ms} ms`);
  });

  await t.test('pause stops the work and resume takes it up', async () => {
    await first.click('pause');
    await first.untilState(5_000, 'paused');
    assert.notEqual((await first.get('reason').textContent()).trim(), '');
    await sleep(SETTLE_MS);
    const { version } = await server.status();
    await sleep(SETTLE_MS);
    assert.equal((await server.status()).version, version, 'steps were made during the pause');
    await first.click('resume');
    await server.untilStatus('steps after the pause', 10_000, (status) => status.version > version);
  });

  // The whole run is a matter of seconds: slowly, so that what follows happens during it.
  await first.setDuty(SLOW_PERCENT);

  const second = await Tab.open(browser, server.origin, { width: 390, height: 844, theme: 'dark' });
  let worker;

  await t.test('a second tab joins, on a phone', async () => {
    await second.join(SLOW_PERCENT);
    await second.untilValue('samples-accepted', 1, 30_000);
  });

  await t.test('the page is accessible while training, in both themes', async () => {
    assert.deepEqual(await first.axe(), [], 'light, wide');
    assert.deepEqual(await second.axe(), [], 'dark, narrow');
  });

  await t.test('a native worker joins', async () => {
    worker = server.addWorker('--duty', '50');
    await server.untilStatus('three workers', 30_000, ({ workers }) => workers === 3);
  });

  await t.test('one tab closes midway', async () => {
    const midway = ({ version, steps_total }) => version >= 0.4 * steps_total;
    await server.untilStatus('the middle of the run', TRAINING_LIMIT_MS, midway);
    await second.close();
    const { phase, version, steps_total } = await server.status();
    assert.equal(phase, 'running', 'the run was over before the tab was closed');
    t.diagnostic(`a tab closed at step ${version} of ${steps_total}`);
  });

  const final = await server.untilFinished(TRAINING_LIMIT_MS);
  t.diagnostic(`test accuracy ${(100 * final.eval.accuracy).toFixed(2)} %, digest ${final.params_digest}`);

  await t.test('it learned to read digits', () => {
    assert.ok(final.eval.accuracy >= ACCURACY_MIN, `accuracy ${final.eval.accuracy}`);
  });

  await t.test('the page says that the run is finished, and how well', async () => {
    await first.untilState(20_000, 'run_finished');
    await first.untilValue('version', final.steps_total, 20_000);
    await first.untilValue('accuracy', ACCURACY_MIN, 20_000);
    assert.ok((await first.value('samples-accepted')) > 0);
    assert.ok((await first.value('samples-credited')) > 0);
  });

  await t.test('the worker ends by itself, content', async () => {
    const { code, signal } = await worker.exited;
    assert.deepEqual({ code, signal }, { code: 0, signal: null }, worker.tail());
  });

  await t.test('a drawn digit is read by the trained model', async () => {
    await drawOne(first);
    await first.page.waitForFunction(
      () => document.querySelector('[data-testid="digit-prediction"]')?.getAttribute('data-value') === '1',
      null,
      { timeout: 30_000 },
    );
    await first.click('digit-clear');
  });

  await t.test('the finished page is accessible and pictured', async () => {
    for (const theme of ['light', 'dark']) {
      await first.page.emulateMedia({ colorScheme: theme });
      assert.deepEqual(await first.axe(), [], theme);
    }
    await first.screenshots('finished');
  });

  await t.test('one native worker alone comes to the same bits', async () => {
    const alone = await Server.start(t, 'training-alone', FIXTURE);
    alone.addWorker('--lanes', '1');
    const { params_digest } = await alone.untilFinished(TRAINING_LIMIT_MS);
    assert.equal(final.params_digest, params_digest);
  });

  assert.deepEqual([...first.problems, ...second.problems], []);
});

/** A vertical stroke in the middle of the canvas. */
async function drawOne(tab) {
  const canvas = tab.get('digit-canvas');
  await canvas.scrollIntoViewIfNeeded();
  const { x, y, width, height } = await canvas.boundingBox();
  const { mouse } = tab.page;
  await mouse.move(x + 0.5 * width, y + 0.2 * height);
  await mouse.down();
  await mouse.move(x + 0.5 * width, y + 0.8 * height, { steps: 20 });
  await mouse.up();
}
