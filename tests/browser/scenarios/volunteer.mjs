// What a volunteer relies on: consent, quick pauses, no strangers, and a page that comes back from anything.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import { Server } from '../lib/server.mjs';
import { openBrowser, Tab } from '../lib/tab.mjs';
import { until } from '../lib/wait.mjs';

/** Slow enough that the run outlives the scenario. */
const SLOW_PERCENT = 15;
/** A promise to volunteers: from the click to the page's word that it holds. */
const PAUSE_MAX_MS = 100;
const PAUSES = 8;
/** Long enough for what was under way at the time of a pause to be answered. */
const SETTLE_MS = 800;
const LONG_TASK_MS = 50;
const WATCH_MS = 5_000;

test('a volunteer can rely on the page', { timeout: 900_000 }, async (t) => {
  const server = await Server.start(t, 'volunteer', 'mnist-long.toml');
  const browser = await openBrowser(t);
  const tab = await Tab.open(browser, server.origin);
  const requests = [];
  tab.page.on('request', (request) => requests.push(request.url()));

  await t.test('refused consent sends nothing and starts nothing', async () => {
    await tab.click('consent-refuse');
    await tab.get('consent-refused').waitFor();
    await tab.page.keyboard.press('Space');
    await sleep(1_000);
    assert.equal((await server.status()).workers, 0);
    assert.equal(tab.page.workers().length, 0);
    await tab.click('consent-again');
  });

  await t.test('what the model was at step 0 can be seen before anybody trained', async () => {
    await tab.click('examine');
    await tab.get('confusion').waitFor({ timeout: 30_000 });
    const right = await tab.value('confusion');
    assert.ok(right > 0 && right < 0.4, `an untrained model reads ${right} of the digits`);
  });

  await t.test('it trains, and a pause holds within 100 ms', async () => {
    await tab.join(SLOW_PERCENT);
    await tab.untilValue('samples-credited', 1, 30_000);
    const took_ms = await tab.page.evaluate(
      () =>
        new Promise((resolve) => {
          const title = document.querySelector('[data-testid=state]');
          const from = performance.now();
          new MutationObserver(() => {
            if (title.dataset.state === 'paused') resolve(performance.now() - from);
          }).observe(title, { attributes: true });
          document.querySelector('[data-testid=pause]').click();
        }),
    );
    t.diagnostic(`paused ${took_ms.toFixed(1)} ms after the click`);
    assert.ok(took_ms <= PAUSE_MAX_MS, `it took ${took_ms} ms`);
    await tab.click('resume');
    await tab.untilState(5_000, 'computing', 'idle');
  });

  await t.test('a pause loses no more than the micro-batch that was in work', async () => {
    const { micro_batch } = await server.status();
    await tab.setDuty(100);
    const losses = [];
    let before = await unaccepted(tab);
    for (let n = 0; n < PAUSES; n += 1) {
      const computed = await tab.value('samples-computed');
      await tab.untilValue('samples-computed', computed + 1, 30_000);
      await tab.click('pause');
      await tab.untilState(5_000, 'paused');
      await sleep(SETTLE_MS);
      const after = await unaccepted(tab);
      losses.push(after - before);
      before = after;
      await tab.click('resume');
    }
    t.diagnostic(`samples lost by ${PAUSES} pauses: ${losses.join(', ')} (a micro-batch has ${micro_batch})`);
    assert.ok(Math.max(...losses) <= micro_batch, `lost ${losses}`);
    await tab.setDuty(SLOW_PERCENT);
    await tab.untilState(5_000, 'computing', 'idle');
  });

  await t.test('the thread of the page is never busy for long', async () => {
    const longest = await longestTask(browser, tab);
    t.diagnostic(`longest task of the page's thread while training: ${longest.toFixed(1)} ms`);
    assert.ok(longest <= LONG_TASK_MS, `a task took ${longest} ms`);
  });

  await t.test('it has a rank, and a name by choice', async () => {
    await until('a rank', 30_000, async () => (await tab.value('rank')) !== null);
    await tab.click('page-leaders');
    await tab.get('leader-name').fill('Ada');
    await tab.click('leader-join');
    await tab.page.getByText('You are on it as Ada.').waitFor({ timeout: 30_000 });
    await tab.get('leaders').getByText('Ada').waitFor({ timeout: 30_000 });
    await tab.click('leader-leave');
    await tab.get('leaders-none').waitFor({ timeout: 30_000 });
    await tab.click('page-run');
  });

  await t.test('a hidden tab goes on, or rests if it was told to', async () => {
    const { version } = await server.status();
    await hide(tab, true);
    await server.untilStatus('steps of a hidden tab', 30_000, (status) => status.version > version);
    await tab.get('rule-hidden').click();
    await tab.untilState(5_000, 'paused');
    await hide(tab, false);
    await tab.untilState(5_000, 'computing', 'idle');
  });

  await t.test('offline is shown, and it comes back', async () => {
    await tab.context.setOffline(true);
    await tab.page.locator('[data-testid=connection][data-connection=offline]').waitFor();
    await tab.context.setOffline(false);
    await tab.untilState(30_000, 'computing', 'idle');
    const credited = await tab.value('samples-credited');
    await tab.untilValue('samples-credited', credited + 1, 30_000);
  });

  await t.test('two tabs live through the death of the server', async () => {
    const second = await Tab.open(browser, server.origin);
    await second.join(SLOW_PERCENT);
    await server.untilStatus('two workers', 30_000, ({ workers }) => workers === 2);
    await server.program.kill();
    await tab.untilState(30_000, 'backoff');
    await tab.get('retry-countdown').waitFor();
    await server.restart();
    const { version } = await server.status();
    // It may be back by itself.
    await tab.get('retry-now').click({ timeout: 2_000 }).catch(() => {});
    await tab.untilState(70_000, 'computing', 'idle');
    await server.untilStatus('steps after the restart', 60_000, (status) => status.version > version);
    await second.close();
    await server.untilStatus('one worker', 30_000, ({ workers }) => workers === 1);
  });

  await t.test('every page is accessible, and nothing came from elsewhere', async () => {
    for (const view of ['runs', 'leaders', 'about', 'privacy', 'run']) {
      await tab.click(`page-${view}`);
      for (const theme of ['light', 'dark']) {
        await tab.page.emulateMedia({ colorScheme: theme });
        assert.deepEqual(await tab.axe(), [], `${view}, ${theme}`);
      }
    }
    const strangers = requests.filter((url) => !url.startsWith(server.origin) && !url.startsWith('blob:'));
    assert.deepEqual(strangers, []);
    assert.deepEqual(await tab.context.cookies(), []);
    const policy = (await fetch(server.origin)).headers.get('content-security-policy');
    assert.match(policy, /default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'/);
  });

  const unexpected = tab.problems.filter((problem) => !/ERR_|WebSocket|Failed to load/.test(problem));
  assert.deepEqual(unexpected, []);
});

/** Samples that the tab computed and that the server did not accept. */
async function unaccepted(tab) {
  return (await tab.value('samples-computed')) - (await tab.value('samples-accepted'));
}

/** Says to the page that it is hidden, as the browser would. */
function hide(tab, hidden) {
  return tab.page.evaluate((hidden) => {
    Object.defineProperty(document, 'visibilityState', { value: hidden ? 'hidden' : 'visible', configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  }, hidden);
}

/**
 * Milliseconds of processor time of the longest task of the page's main thread over a while, from a trace of the
 * browser: lanes have the same few cores, and what the system gives to them is no work of the page.
 */
async function longestTask(browser, tab) {
  await browser.startTracing(tab.page, { categories: ['toplevel', 'devtools.timeline', '__metadata'] });
  await sleep(WATCH_MS);
  const { traceEvents } = JSON.parse((await browser.stopTracing()).toString());
  // The traced page's thread is the one that drew its frames.
  const main = traceEvents
    .filter(({ name, args }) => name === 'thread_name' && args.name === 'CrRendererMain')
    .map(({ pid, tid }) => `${pid} ${tid}`);
  const tasks = traceEvents.filter(
    ({ name, pid, tid }) => /RunTask$/.test(name) && main.includes(`${pid} ${tid}`),
  );
  assert.ok(tasks.length > 10, 'the trace has tasks');
  const timed = tasks.filter(({ tdur }) => tdur !== undefined);
  assert.ok(timed.length > 10, 'the trace has processor times');
  return Math.max(...timed.map(({ tdur }) => tdur / 1_000));
}
