// ELASTIC: the final parameters depend on the run file alone, to the last bit.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Server } from '../lib/server.mjs';
import { openBrowser, Tab } from '../lib/tab.mjs';

const FIXTURE = 'mnist-short.toml';
const LIMIT_MS = 300_000;
/** The smallest duty cycle there is. */
const SLOW_PERCENT = 10;

test('the same run file gives the same bits whoever computes', { timeout: 1_000_000 }, async (t) => {
  const digests = {};

  await t.test('one native worker', async (t) => {
    const server = await Server.start(t, 'elastic-alone', FIXTURE);
    server.addWorker('--lanes', '1');
    digests.alone = (await server.untilFinished(LIMIT_MS)).params_digest;
    t.diagnostic(digests.alone);
  });

  await t.test('four native workers of two lanes', async (t) => {
    const server = await Server.start(t, 'elastic-many', FIXTURE);
    for (let i = 0; i < 4; i += 1) server.addWorker('--lanes', '2');
    digests.many = (await server.untilFinished(LIMIT_MS)).params_digest;
    assert.equal(digests.many, digests.alone);
  });

  await t.test('two tabs and a native worker, of which one tab and the worker vanish', async (t) => {
    const server = await Server.start(t, 'elastic-churn', FIXTURE);
    const browser = await openBrowser(t);
    // All join while the run is held, and work slowly: at full speed it lasts a second or two,
    // and would be over before anyone could vanish in the middle of it.
    await server.operate('pause');
    const staying = await Tab.open(browser, server.origin);
    const leaving = await Tab.open(browser, server.origin);
    await staying.join(SLOW_PERCENT);
    await leaving.join(SLOW_PERCENT);
    const worker = server.addWorker('--lanes', '1', '--duty', String(SLOW_PERCENT));
    await server.untilStatus('three workers', 60_000, ({ workers }) => workers === 3);
    await server.operate('resume');
    const at = (ratio) => ({ version, steps_total }) => version >= ratio * steps_total;
    await server.untilStatus('a third of the run', LIMIT_MS, at(0.33));
    await leaving.close();
    await server.untilStatus('half of the run', LIMIT_MS, at(0.5));
    await worker.kill();
    const { phase } = await server.status();
    assert.equal(phase, 'running', 'the run was over before the worker was killed');
    await staying.setDuty(100);
    digests.churn = (await server.untilFinished(LIMIT_MS)).params_digest;
    assert.equal(digests.churn, digests.alone);
    assert.deepEqual([...staying.problems, ...leaving.problems], []);
  });
});
