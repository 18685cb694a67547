// How the page behaves under the reader's hands: keys alone, any width, nothing that jumps, nothing that waits.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import { Server } from '../lib/server.mjs';
import { openBrowser, Tab } from '../lib/tab.mjs';

const SLOW_PERCENT = 15;
/** Cumulative layout shift; what browsers call good is ten times as much. */
const SHIFT_MAX = 0.01;
const WATCH_MS = 6_000;
const VIEWS = ['runs', 'leaders', 'about', 'privacy', 'run'];
/** The narrowest phone, a laptop, and a 4K screen. */
const SIZES = [[360, 740], [1280, 900], [3_840, 2_160]];
/** Presses of the tab key after which every control must have had its turn. */
const TABS_MAX = 60;

test('the page is pleasant to use', { timeout: 900_000 }, async (t) => {
  const server = await Server.start(t, 'looks', 'mnist-long.toml');
  await server.createRun('text-short.toml');
  server.addWorker('--lanes', '1', '--duty', String(SLOW_PERCENT));
  const browser = await openBrowser(t);

  await t.test('everything can be read and pressed before the engine has come', async () => {
    const tab = await Tab.open(browser, 'about:blank');
    const held = [];
    await tab.context.route('**/*.wasm', (route) => held.push(route));
    await tab.page.goto(server.origin);
    await tab.click('consent-accept');
    await tab.page.locator('[data-testid=version]:not([data-value="0"])').waitFor();
    await tab.setDuty(SLOW_PERCENT);
    await tab.click('page-about');
    await tab.click('page-run');
    assert.equal(held.length, 0, 'the engine is not asked for before it is needed');
    await tab.click('start');
    await tab.untilState(5_000, 'starting');
    await sleep(1_000);
    assert.ok(held.length > 0, 'the test held nothing back');
    await tab.click('pause');
    await tab.click('resume');
    await tab.click('theme-toggle');
    await tab.click('page-privacy');
    await tab.click('page-run');
    assert.equal(await tab.state(), 'starting');
    await Promise.all(held.map((route) => route.continue()));
    await tab.untilState(30_000, 'computing', 'idle');
    assert.deepEqual(tab.problems, []);
    await tab.close();
  });

  for (const [width, height] of SIZES) {
    await t.test(`nothing jumps, hides or offends at ${width} px`, async (t) => {
      const tab = await Tab.open(browser, 'about:blank', { width, height });
      await tab.page.addInitScript(watchShifts);
      await tab.page.goto(server.origin);
      await sleep(1_000);
      await tab.join(SLOW_PERCENT);
      await sleep(WATCH_MS);
      const { sum, worst } = await tab.page.evaluate(() => globalThis.shifts);
      t.diagnostic(`layout shift from the first paint to ${WATCH_MS / 1_000} s of training: ${sum.toFixed(4)}, most by ${worst}`);
      assert.ok(sum < SHIFT_MAX, `${sum}, most by ${worst}`);
      for (const view of VIEWS) {
        await tab.click(`page-${view}`);
        await fits(tab, `${view}, ${width} px`);
        // The width between them is that of the other scenarios.
        for (const theme of width === 1280 ? [] : ['light', 'dark']) {
          await tab.page.emulateMedia({ colorScheme: theme });
          assert.deepEqual(await tab.axe(), [], `${view}, ${theme}, ${width} px`);
        }
      }
      assert.deepEqual(tab.problems, []);
      await tab.close();
    });
  }

  await t.test('keys alone do everything, and what they reach can be seen', async () => {
    const tab = await Tab.open(browser, server.origin);
    const { keyboard } = tab.page;
    await tab.get('consent-accept').waitFor();
    await keyboard.press('Tab');
    assert.equal(await tab.page.evaluate(() => document.activeElement.className), 'skip');
    await tabTo(tab, 'consent-accept');
    await keyboard.press('Enter');
    // The question is gone; the keys go on with what took its place.
    assert.equal(await focused(tab), 'start');
    await tabTo(tab, 'duty');
    await keyboard.press('Home');
    assert.equal(await tab.get('duty').inputValue(), '10');
    await tabTo(tab, 'rule-hidden');
    await keyboard.press('Space');
    assert.ok(await tab.get('rule-hidden').isChecked());
    await keyboard.press('Space');
    await tab.get('start').focus();
    await keyboard.press('Enter');
    await tab.untilValue('samples-credited', 1, 60_000);
    assert.equal(await focused(tab), 'pause');
    await keyboard.press('Space');
    await tab.untilState(5_000, 'paused');
    await keyboard.press('Space');
    await tab.untilState(5_000, 'computing', 'idle');
    await tabTo(tab, 'card-open');
    await keyboard.press('Enter');
    await tab.get('card-save').waitFor();
    await keyboard.press('Escape');
    await tab.get('card-save').waitFor({ state: 'hidden' });
    assert.equal(await focused(tab), 'card-open');
    await tabTo(tab, 'digit-sample-3');
    await keyboard.press('Enter');
    await tab.page.locator('[data-testid=digit-prediction][data-kind=probabilities]').waitFor();
    await tab.get('page-leaders').focus();
    await keyboard.press('Enter');
    await tab.get('view-leaders').waitFor();
    await tabTo(tab, 'leader-name');
    await keyboard.type('Grace');
    await keyboard.press('Enter');
    await tab.get('leaders').getByText('Grace').waitFor({ timeout: 30_000 });
    assert.deepEqual(tab.problems, []);
    await tab.close();
  });

  await t.test('without motion nothing moves by itself', async () => {
    const tab = await Tab.open(browser, server.origin);
    await tab.join(SLOW_PERCENT);
    await tab.untilValue('samples-accepted', 1, 60_000);
    const moving = () => tab.page.evaluate(() => document.getAnimations().length);
    for (let n = 0; n < 10; n += 1) {
      assert.equal(await moving(), 0);
      await sleep(100);
    }
    // Who did not ask for rest sees the work glow: the check above is not about nothing.
    await tab.page.emulateMedia({ reducedMotion: 'no-preference' });
    await tab.page.waitForFunction(() => document.getAnimations().length > 0);
    assert.deepEqual(tab.problems, []);
    await tab.close();
  });
});

/** Adds up how far things were pushed about, from the first paint on. Runs in the page. */
function watchShifts() {
  globalThis.shifts = { sum: 0, worst: '', most: 0 };
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      if (entry.hadRecentInput) continue;
      const { shifts } = globalThis;
      shifts.sum += entry.value;
      if (entry.value <= shifts.most) continue;
      shifts.most = entry.value;
      shifts.worst = entry.sources.map(({ node }) => node?.outerHTML?.slice(0, 120)).join(' | ');
    }
  }).observe({ type: 'layout-shift', buffered: true });
}

/** Nothing may be wider than the window. */
async function fits(tab, where) {
  const [content, view] = await tab.page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    return [scrollWidth, clientWidth];
  });
  assert.ok(content <= view, `${where}: the content is ${content} px wide in a view of ${view} px`);
}

const focused = (tab) => tab.page.evaluate(() => document.activeElement.dataset.testid);

/** Presses the tab key until a control has the focus; each on the way must show that it has it. */
async function tabTo(tab, id) {
  for (let n = 0; n < TABS_MAX; n += 1) {
    await tab.page.keyboard.press('Tab');
    const { at, name, outline } = await tab.page.evaluate(() => {
      const element = document.activeElement;
      const shown = element.closest('.chooser-option') ?? element;
      const { outlineStyle, outlineWidth } = getComputedStyle(shown);
      return {
        at: element.dataset.testid,
        name: element.outerHTML.slice(0, 80),
        outline: outlineStyle === 'none' ? 0 : parseFloat(outlineWidth),
      };
    });
    if (name.startsWith('<body')) continue; // The end of the page.
    assert.ok(outline >= 2, `no visible focus on ${name}`);
    if (at === id) return;
  }
  assert.fail(`${TABS_MAX} presses of the tab key do not reach ${id}`);
}
