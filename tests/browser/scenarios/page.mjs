// The page by itself: what a visitor sees, agrees to, starts and ends.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Server } from '../lib/server.mjs';
import { openBrowser, Tab } from '../lib/tab.mjs';

test('a visitor agrees, starts, finishes and is gone from the server', { timeout: 240_000 }, async (t) => {
  const server = await Server.start(t, 'page', 'mnist-five-epochs.toml');
  const browser = await openBrowser(t);
  const tab = await Tab.open(browser, server.origin);

  await t.test('nothing computes before a click', async () => {
    await tab.get('consent-accept').waitFor();
    const status = await server.status();
    assert.equal(status.workers, 0);
    assert.equal(status.version, 0);
  });

  await t.test('it is accessible before the consent, in both themes', async () => {
    for (const theme of ['light', 'dark']) {
      await tab.page.emulateMedia({ colorScheme: theme });
      assert.deepEqual(await tab.axe(), [], theme);
    }
    await tab.screenshots('visitor');
  });

  await t.test('finish hands the work back', async () => {
    await tab.volunteer(60_000);
    await tab.untilValue('samples-accepted', 1, 10_000);
    await tab.click('finish');
    await tab.untilState(20_000, 'finished');
    const { version } = await server.untilStatus('no workers', 20_000, ({ workers }) => workers === 0);
    assert.ok(version > 0);
    assert.notEqual((await tab.get('reason').textContent()).trim(), '');
  });

  await t.test('the theme is changed by its button', async () => {
    const background = () => tab.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const theme = () => tab.page.evaluate(() => document.documentElement.dataset.theme);
    const seen = {};
    for (let i = 0; i < 2; i += 1) {
      await tab.click('theme-toggle');
      seen[await theme()] = await background();
    }
    assert.deepEqual(Object.keys(seen).sort(), ['dark', 'light']);
    assert.notEqual(seen.dark, seen.light);
  });

  assert.deepEqual(tab.problems, []);
});
