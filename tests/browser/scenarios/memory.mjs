// A browser that gives the engine too little memory, whichever part of it asks first.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Server } from '../lib/server.mjs';
import { openBrowser, Tab } from '../lib/tab.mjs';

/** Pages of 64 KiB to a module. With few, a lane has no room to compute; with more, the session none for its data. */
const PAGES = { lane: 40, session: 80 };

test('a tab that gets no memory says so, and gives its work back', { timeout: 900_000 }, async (t) => {
  const server = await Server.start(t, 'memory', 'mnist-short.toml');
  for (const [part, pages] of Object.entries(PAGES)) {
    await t.test(`none for a ${part}`, async (t) => {
      const browser = await openBrowser(t, {
        options: [`--js-flags=--wasm-max-mem-pages=${pages}`],
      });
      const tab = await Tab.open(browser, server.origin);
      await tab.join(100);
      await tab.untilState(60_000, part === 'lane' ? 'engine_failed' : 'failed');
      assert.match(await tab.get('reason').textContent(), /no more memory.*fewer lanes/);
      await server.untilStatus('no workers', 20_000, ({ workers }) => workers === 0);
      await tab.get('start').waitFor();
      assert.deepEqual(await tab.axe(), []);
      assert.deepEqual(tab.problems, []);
    });
  }
  await t.test('others finish the run', async () => {
    server.addWorker('--lanes', '1');
    await server.untilFinished(120_000);
  });
});
