// Several runs on one server: the list of them, each one's page, and a model that writes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Server } from '../lib/server.mjs';
import { openBrowser, Tab } from '../lib/tab.mjs';

const SLOW_PERCENT = 20;

test('a visitor finds the run to help among several', { timeout: 900_000 }, async (t) => {
  const server = await Server.start(t, 'runs', 'mnist-long.toml');
  await server.createRun('text-short.toml');
  const browser = await openBrowser(t);
  const tab = await Tab.open(browser, server.origin);
  const item = (name) => tab.get(`run-${name}`);

  await t.test('the list says what each run is and how far', async () => {
    await tab.click('page-runs');
    await item('mnist-long').waitFor();
    await item('text-short').waitFor();
    assert.match(await item('text-short').innerText(), /A small model that writes\s+Running[^]*Step 0 of/);
    assert.equal(await item('mnist-long').getByRole('progressbar').getAttribute('aria-valuenow'), '0');
    for (const theme of ['light', 'dark']) {
      await tab.page.emulateMedia({ colorScheme: theme });
      assert.deepEqual(await tab.axe(), [], theme);
    }
  });

  await t.test('a link of it leads to the page of its run, also for who comes from elsewhere', async () => {
    await item('text-short').getByRole('link').click();
    await tab.page.getByRole('heading', { name: 'A small model that writes' }).waitFor();
    assert.match(tab.page.url(), /run=text-short.*#run$/);
    await tab.get('origin').getByText('Run by The tests.').waitFor();
    assert.equal(await tab.get('run-link').getAttribute('href'), 'https://example.org/whales');
    const guest = await Tab.open(browser, `${server.origin}/?run=text-short`);
    await guest.page.getByRole('heading', { name: 'A small model that writes' }).waitFor();
    await guest.close();
  });

  await t.test('the tab works for the run that was chosen, and the list says so', async () => {
    await tab.join(SLOW_PERCENT);
    await tab.untilValue('samples-accepted', 1, 60_000);
    await tab.click('page-runs');
    await item('text-short').getByText('This tab works for it').waitFor();
    await tab.untilValue('run-workers-text-short', 1, 10_000);
    assert.equal(await tab.value('run-workers-mnist-long'), 0);
    await tab.click('page-run');
  });

  await t.test('its model writes before training and afterwards, in the tab', async () => {
    await tab.get('prompt').fill('Call me Ishmael. ');
    await tab.get('writing-version').selectOption('0');
    const before = await write(tab);
    assert.ok(before.length > 100, before);
    server.addWorker('--lanes', '1', '--run', 'text-short');
    await tab.page.waitForFunction(
      () => document.querySelector('[data-testid=writing-version]').options.length > 2,
      null,
      { timeout: 120_000 },
    );
    await tab.get('writing-version').selectOption('');
    const after = await write(tab);
    // Moby-Dick is one sixth spaces; a model that knows nothing writes one in 83 characters.
    const spaces = (text) => text.split(' ').length / text.length;
    t.diagnostic(`spaces: ${(100 * spaces(before)).toFixed(1)} % before, ${(100 * spaces(after)).toFixed(1)} % after`);
    assert.ok(spaces(after) > 0.08, after);
    assert.ok(spaces(before) < 0.08, before);
  });

  await t.test('a text can be ended, and its model taken home', async () => {
    const whole = await write(tab);
    const ended = await write(tab, { isEnded: true });
    assert.ok(ended.length < whole.length, `${ended.length} of ${whole.length} characters`);
    const file = tab.page.waitForEvent('download');
    await tab.click('download');
    assert.match((await file).suggestedFilename(), /^text-short-step-\d+\.safetensors$/);
  });

  await t.test('in Chinese, units are Chinese too', async () => {
    await tab.click('language-toggle');
    assert.equal(await tab.page.evaluate(() => document.documentElement.lang), 'zh-Hans');
    await tab.click('page-runs');
    // Whether its training has ended meanwhile depends on the machine.
    await item('text-short').getByText(/进行中|已完成/).waitFor();
    await tab.click('page-run');
    await tab.page.locator('[data-testid=first-accepted]', { hasText: '秒' }).waitFor();
    assert.deepEqual(await tab.axe(), []);
  });

  assert.deepEqual(tab.problems, []);
});

/** What the model writes after the prompt, or what it wrote until it was told to end. */
async function write(tab, { isEnded = false } = {}) {
  await tab.get('write').waitFor();
  // In the page, since a small model writes faster than a test looks from outside.
  await tab.page.evaluate(async (isEnded) => {
    const find = (id) => document.querySelector(`[data-testid=${id}]`);
    const untilBusy = async (busy) => {
      while (find('written').dataset.busy !== busy) await new Promise(requestAnimationFrame);
    };
    find('write').click();
    await untilBusy('true');
    if (isEnded) find('write').click();
    await untilBusy('false');
  }, isEnded);
  const prompt = await tab.get('prompt').inputValue();
  return (await tab.get('written').textContent()).slice(prompt.length);
}
