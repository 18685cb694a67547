// Browsers that keep nothing: a window that may not, a disk that is full; and a volunteer's own limit of bytes.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import { Server } from '../lib/server.mjs';
import { openBrowser, openProfile, Tab } from '../lib/tab.mjs';

const SLOW_PERCENT = 20;
/** What a browser may keep for an origin whose disk is full. */
const QUOTA_BYTES = 1_000;
/** More than the page itself sends and receives when it is paused at once. */
const PAUSED_BYTES = 2_000_000;

test('a browser that keeps nothing can help all the same', { timeout: 900_000 }, async (t) => {
  const server = await Server.start(t, 'storage', 'mnist-long.toml');

  await t.test('a window without storage: it says so, trains and asks again', async (t) => {
    const profile = join(server.folder, 'profile');
    mkdirSync(join(profile, 'Default'), { recursive: true });
    // As the volunteer's own choice in the settings: sites may store nothing.
    const settings = { profile: { default_content_setting_values: { cookies: 2 } } };
    writeFileSync(join(profile, 'Default', 'Preferences'), JSON.stringify(settings));
    const tab = await Tab.start(await openProfile(t, profile), server.origin);
    const denied = await tab.page.evaluate(async () => {
      const refused = (error) => error.name;
      const local = await new Promise((resolve) => resolve(localStorage.length)).catch(refused);
      return [local, await caches.open('x').then(() => 'open', refused)];
    });
    assert.deepEqual(denied, ['SecurityError', 'SecurityError']);
    await tab.join(SLOW_PERCENT);
    await tab.get('no-memory').waitFor();
    await tab.untilValue('samples-accepted', 1, 60_000);
    await tab.click('digit-sample-3');
    await tab.page.locator('[data-testid=digit-prediction][data-kind=probabilities]').waitFor();
    await tab.page.reload();
    await tab.get('consent-accept').waitFor();
    await server.untilStatus('nobody', 20_000, ({ workers }) => workers === 0);
    assert.deepEqual(tab.problems, []);
  });

  const browser = await openBrowser(t);
  await t.test('a full disk: it says so and trains', async () => {
    const tab = await Tab.open(browser, server.origin);
    await tab.get('consent-accept').waitFor();
    const session = await tab.context.newCDPSession(tab.page);
    const { origin } = new URL(server.origin);
    await session.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: QUOTA_BYTES });
    const refused = await tab.page.evaluate(async () => {
      let size = 4_000_000;
      // Until not one more character fits.
      for (let n = 0; size >= 1; n += 1) {
        try {
          localStorage.setItem(`full-${n}`, 'x'.repeat(size));
        } catch {
          size = Math.floor(size / 2);
        }
      }
      const put = async () => (await caches.open('x')).put('/x', new Response('x'.repeat(100_000)));
      return put().then(() => 'kept', (error) => error.name);
    });
    assert.equal(refused, 'QuotaExceededError');
    await tab.join(SLOW_PERCENT);
    await tab.get('no-memory').waitFor();
    await tab.untilValue('samples-accepted', 1, 60_000);
    assert.deepEqual(await tab.axe(), []);
    await tab.click('finish');
    await tab.untilState(20_000, 'finished');
    assert.deepEqual(tab.problems, []);
    await tab.close();
  });

  await t.test('at its limit of bytes for the day it holds, and goes on with a higher one', async () => {
    const tab = await Tab.open(browser, server.origin);
    await tab.page.evaluate(() => {
      const now = new Date();
      const day = `${now.getFullYear()}-${now.getMonth() + 1}-${now.getDate()}`;
      // A first session of this day left half a megabyte below the smallest limit.
      localStorage.setItem('tabswarm.usage', JSON.stringify({ day, bytes: 49_500_000 }));
    });
    await tab.page.reload();
    await tab.click('consent-accept');
    await tab.get('data-cap').selectOption('50');
    await tab.click('start');
    await tab.untilState(60_000, 'paused');
    assert.match(await tab.get('reason').textContent(), /data limit is reached/);
    const used = () => tab.value('data-used');
    const before = await used();
    await sleep(2_000);
    assert.ok((await used()) - before < PAUSED_BYTES, 'it goes on sending');
    const { version } = await server.status();
    await sleep(1_000);
    assert.equal((await server.status()).version, version);
    await tab.get('data-cap').selectOption('100');
    await server.untilStatus('steps below the new limit', 30_000, (status) => status.version > version);
    t.diagnostic(`held at ${(before / 1e6).toFixed(2)} MB of 50 MB`);
    assert.deepEqual(tab.problems, []);
    await tab.close();
  });
});
