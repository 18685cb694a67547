// A lane of a tab that dies costs its task and no more; without lanes the tab gives its work back.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Server } from '../lib/server.mjs';
import { isLane, openBrowser, Tab } from '../lib/tab.mjs';
import { until } from '../lib/wait.mjs';

const FIXTURE = 'mnist-short.toml';
const LIMIT_MS = 300_000;
const LANES = 2;
/** Slow enough that lanes die while there is still something to do. */
const SLOW_PERCENT = 10;
/** Lanes killed while the run goes on. */
const DEATHS = 4;

/** Lets a lane die of the next message that it gets, before it looks at it. Runs in the lane. */
function doom() {
  self.onmessage = () => {
    throw new WebAssembly.RuntimeError('a cosmic ray');
  };
}

/** The same for good: the lane can't listen in any other way. Runs in the lane, however early. */
function curse() {
  self.onmessage = () => {
    throw new WebAssembly.RuntimeError('a cosmic ray');
  };
  Object.defineProperty(self, 'onmessage', { set() {} });
}

/** Kills a lane and waits until it is gone. */
async function kill(lane) {
  const gone = new Promise((resolve) => lane.once('close', resolve));
  await lane.evaluate(doom);
  await gone;
}

test('lanes of a tab that die do not change a bit', { timeout: 1_000_000 }, async (t) => {
  const alone = await Server.start(t, 'lanes-alone', FIXTURE);
  alone.addWorker('--lanes', '1');
  const { params_digest } = await alone.untilFinished(LIMIT_MS);
  const browser = await openBrowser(t);

  await t.test('they are replaced, and their work is done again', async (t) => {
    const server = await Server.start(t, 'lanes-replaced', FIXTURE);
    await server.operate('pause');
    const tab = await Tab.open(browser, server.origin);
    await tab.join(SLOW_PERCENT);
    await tab.get('lanes').selectOption(String(LANES));
    await server.untilStatus('the tab', 60_000, ({ workers }) => workers === 1);
    await until('the lanes', 10_000, () => tab.lanes().length === LANES);
    await server.operate('resume');
    for (let i = 0; i < DEATHS; i += 1) {
      const { version } = await server.status();
      await server.untilStatus('another step', 60_000, (status) => status.version > version);
      await kill(tab.lanes()[i % LANES]);
      await until('the new lane', 10_000, () => tab.lanes().length === LANES);
    }
    const { phase } = await server.status();
    assert.equal(phase, 'running', 'the run was over before the lanes were dead');
    await tab.setDuty(100);
    const final = await server.untilFinished(LIMIT_MS);
    assert.equal(final.params_digest, params_digest);
    assert.deepEqual(tab.problems, []);
    await tab.close();
  });

  await t.test('without a lane the tab gives its work back and says why', async (t) => {
    const server = await Server.start(t, 'lanes-lost', FIXTURE);
    const tab = await Tab.open(browser, server.origin);
    tab.page.on('worker', (worker) => {
      // It may do a task before, and be gone again by then.
      if (isLane(worker)) worker.evaluate(curse).catch(() => {});
    });
    await tab.join(SLOW_PERCENT);
    await tab.untilState(60_000, 'engine_failed');
    assert.match(await tab.get('reason').textContent(), /keeps failing: A lane crashed: .*cosmic ray/);
    await server.untilStatus('no workers', 20_000, ({ workers }) => workers === 0);
    server.addWorker('--lanes', '1');
    const final = await server.untilFinished(LIMIT_MS);
    assert.equal(final.params_digest, params_digest);
    assert.deepEqual(tab.problems, []);
    await tab.close();
  });
});
