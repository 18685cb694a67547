// What a volunteer can set, each by the device's own signals as far as a browser lets a test give them.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { NEWER_VERSION, serveNewer } from '../lib/newer.mjs';
import { Server } from '../lib/server.mjs';
import { openBrowser, Tab } from '../lib/tab.mjs';
import { until } from '../lib/wait.mjs';

/** Slow enough that the run outlives the scenario. */
const SLOW_PERCENT = 15;
const LIMIT_MS = 30_000;

/** Gives the page a battery to be drained, and notes which locks it holds. Runs before the page. */
function devices() {
  const battery = Object.assign(new EventTarget(), { charging: true, level: 0.9 });
  navigator.getBattery = async () => battery;
  globalThis.setBattery = (facts) => {
    Object.assign(battery, facts);
    battery.dispatchEvent(new Event('chargingchange'));
    battery.dispatchEvent(new Event('levelchange'));
  };
  globalThis.locks = 0;
  const request = async () => {
    globalThis.locks += 1;
    const lock = {
      released: false,
      release: async () => {
        lock.released = true;
        globalThis.locks -= 1;
      },
    };
    return lock;
  };
  Object.defineProperty(navigator, 'wakeLock', { value: { request } });
}

const setBattery = (tab, facts) => tab.page.evaluate((facts) => globalThis.setBattery(facts), facts);

/** Waits until the page rests, and says why. */
async function untilHeld(tab, why) {
  await tab.untilState(LIMIT_MS, 'paused');
  assert.match(await tab.get('reason').textContent(), why);
}

const untilAtWork = (tab) => tab.untilState(LIMIT_MS, 'computing', 'idle');

test('a volunteer sets what the tab may use', { timeout: 600_000 }, async (t) => {
  const server = await Server.start(t, 'controls', 'mnist-long.toml');
  const browser = await openBrowser(t);
  const context = await browser.newContext({ permissions: ['clipboard-read', 'clipboard-write'], reducedMotion: 'reduce' });
  await context.addInitScript(devices);
  const tab = await Tab.start(context, server.origin);

  await t.test('who agreed to an older text is asked again, and nothing starts', async () => {
    await tab.page.evaluate(() => localStorage.setItem('tabswarm.consent', '1'));
    await tab.page.reload();
    await tab.get('consent-changed').waitFor();
    assert.equal(tab.page.workers().length, 0);
    await tab.join(SLOW_PERCENT);
    await untilAtWork(tab);
  });

  await t.test('off the plug it rests, unless told otherwise, and goes on when it is back', async () => {
    await setBattery(tab, { charging: false, level: 0.8 });
    await untilHeld(tab, /on battery/);
    assert.deepEqual(await tab.axe(), []);
    await tab.click('rule-battery');
    await untilAtWork(tab);
    await setBattery(tab, { level: 0.15 });
    await untilHeld(tab, /battery is low/);
    await tab.get('battery-floor').selectOption('10');
    await untilAtWork(tab);
    await setBattery(tab, { level: 0.05 });
    await untilHeld(tab, /battery is low/);
    await tab.click('resume');
    await untilAtWork(tab);
    await setBattery(tab, { charging: true });
    await untilAtWork(tab);
  });

  await t.test('the screen stays awake by choice, while it computes', async () => {
    const locks = () => tab.page.evaluate(() => globalThis.locks);
    assert.equal(await locks(), 0);
    await tab.click('rule-awake');
    await until('a lock', LIMIT_MS, async () => (await locks()) === 1);
    await tab.click('pause');
    await until('no lock while it rests', LIMIT_MS, async () => (await locks()) === 0);
    await tab.click('resume');
    await until('the lock again', LIMIT_MS, async () => (await locks()) === 1);
    await tab.click('rule-awake');
    await until('no lock', LIMIT_MS, async () => (await locks()) === 0);
  });

  await t.test('a browser without a GPU says so beside the switch', async () => {
    const rule = tab.get('rule-gpu');
    await until('the reason', LIMIT_MS, async () => /so the processor does the work/.test(await help(tab)));
    assert.ok(await rule.isDisabled());
    assert.ok(!(await rule.isChecked()));
  });

  await t.test('as many lanes work as are allowed', async () => {
    assert.equal(await tab.get('duty').getAttribute('aria-valuetext'), `${SLOW_PERCENT}%`);
    for (const allowed of [2, 1]) {
      await tab.get('lanes').selectOption(String(allowed));
      await until(`${allowed} lanes`, LIMIT_MS, () => tab.lanes().length === allowed);
    }
  });

  await t.test('what is copied for a report holds no secret', async () => {
    await tab.untilValue('samples-credited', 1, LIMIT_MS);
    await tab.click('page-about');
    await tab.click('copy-diagnostics');
    const report = await tab.page.evaluate(() => navigator.clipboard.readText());
    const { page, run, session, preferences } = JSON.parse(report);
    assert.equal(page, 'tabswarm volunteer');
    assert.equal(run.name, server.run);
    assert.equal(preferences.batteryFloor, 10);
    assert.equal(session.phase, 'live');
    assert.doesNotMatch(report, /token|127\.0\.0\.1|http/i);
    await tab.click('page-run');
  });

  await t.test('the card is a picture of what was done', async () => {
    await tab.click('card-open');
    const saved = tab.page.waitForEvent('download');
    await tab.click('card-save');
    const picture = readFileSync(await (await saved).path());
    assert.equal(picture.subarray(1, 4).toString(), 'PNG');
    assert.deepEqual([picture.readUInt32BE(16), picture.readUInt32BE(20)], [1_200, 630]);
    await tab.click('card-copy');
    assert.match(await tab.page.evaluate(() => navigator.clipboard.readText()), /samples/);
    assert.deepEqual(await tab.axe(), []);
    await tab.click('card-close');
  });

  await t.test('all of it is remembered', async () => {
    await tab.page.reload();
    await tab.get('start').waitFor();
    assert.equal(await tab.get('duty').inputValue(), String(SLOW_PERCENT));
    assert.equal(await tab.get('battery-floor').inputValue(), '10');
    assert.ok(!(await tab.get('rule-battery').isChecked()));
    assert.equal(tab.page.workers().filter((worker) => /driver/.test(worker.url())).length, 0, 'it began by itself');
    assert.deepEqual(tab.problems, []);
  });

  await t.test('a page that is too old for its server offers to load the new one', async (t) => {
    const old = await Tab.open(browser, await serveNewer(t, server.origin));
    await old.join(SLOW_PERCENT);
    await old.untilState(LIMIT_MS, 'version_mismatch');
    assert.match(await old.get('reason').textContent(), new RegExp(`version ${NEWER_VERSION}.*Reload`));
    assert.deepEqual(await old.axe(), []);
    const loaded = old.page.waitForEvent('load');
    await old.click('reload');
    await loaded;
    await old.close();
  });
});

const help = (tab) => tab.page.locator('#rule-gpu-help').textContent();
