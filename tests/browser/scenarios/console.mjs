// The operator's console against a real server: nothing without the token, nothing destructive without a question.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { FIXTURES } from '../lib/environment.mjs';
import { Server } from '../lib/server.mjs';
import { openBrowser, Tab } from '../lib/tab.mjs';

const THEMES = ['light', 'dark'];

test('an operator runs the server from the console', { timeout: 900_000 }, async (t) => {
  const server = await Server.start(t, 'console', 'mnist-long.toml');
  server.addWorker('--lanes', '1', '--duty', '30');
  const browser = await openBrowser(t);
  const tab = await Tab.open(browser, server.admin);
  const axe = async (where) => {
    for (const theme of THEMES) {
      await tab.page.emulateMedia({ colorScheme: theme });
      assert.deepEqual(await tab.axe(), [], `${where}, ${theme}`);
    }
  };

  await t.test('it is no part of the volunteers’ listener', async () => {
    assert.equal((await fetch(`${server.origin}/admin.html`)).status, 404);
    assert.equal((await fetch(`${server.admin}/admin/runs/mnist-long/history`)).status, 401);
    const policy = (await fetch(server.admin)).headers.get('content-security-policy');
    assert.match(policy, /default-src 'none'; script-src 'self'.*frame-ancestors 'none'/);
  });

  await t.test('a wrong token opens nothing', async () => {
    await axe('sign in');
    await tab.get('token').fill('0'.repeat(64));
    await tab.page.keyboard.press('Enter');
    await tab.page.getByText('Send a valid token').waitFor();
    // Browsers put each refusal on the console.
    assert.match(tab.problems.splice(0).join(), /401/);
  });

  await t.test('the overview shows the run live', async () => {
    await tab.get('token').fill(server.token);
    await tab.click('sign-in');
    await tab.get('phase-mnist-long').getByText('Running').waitFor();
    await tab.untilFigure('workers-mnist-long', 1, 30_000);
    const before = await tab.value('version-mnist-long');
    await tab.untilFigure('version-mnist-long', before + 1, 30_000);
    await tab.untilFigure('accuracy-mnist-long', 0.5, 60_000);
    await tab.page.locator('[data-testid=health][data-state=ok]').waitFor();
    await axe('overview');
    assert.deepEqual(await tab.context.cookies(), []);
  });

  await t.test('workers are sorted and filtered', async () => {
    await tab.click('page-workers');
    const rows = tab.get('workers').locator('tbody tr');
    await rows.first().waitFor();
    assert.match(await rows.first().innerText(), /connected\s+mnist-long\s+tabswarm-worker/);
    await tab.click('sort-samples_accepted');
    const sorted = tab.page.locator('th[aria-sort=ascending] [data-testid=sort-samples_accepted]');
    await sorted.waitFor();
    await tab.get('worker-filter').fill('no such worker');
    await tab.page.getByText('No worker matches.').waitFor();
    await tab.get('worker-filter').fill('mnist connected');
    await rows.first().waitFor();
    await axe('workers');
  });

  await t.test('a run is created from its file, and a bad one is refused with the place', async () => {
    await tab.click('page-create');
    await tab.get('run-text').fill('name = "x"\nunknown = 1\n');
    await tab.click('create');
    await tab.get('problem').getByText('unknown').waitFor();
    assert.match(tab.problems.splice(0).join(), /422/);
    await axe('create');
    await tab.get('run-file').setInputFiles(join(FIXTURES, 'text-short.toml'));
    const text = readFileSync(join(FIXTURES, 'text-short.toml'), 'utf8');
    await tab.page.waitForFunction((text) => document.querySelector('textarea').value === text, text);
    await tab.click('create');
    await tab.get('phase-text-short').getByText('Not started').waitFor({ timeout: 120_000 });
    await tab.click('do-start');
    await tab.get('phase-text-short').getByText('Running').waitFor();
  });

  await t.test('nothing is stopped without a question, and keys alone can answer it', async () => {
    await tab.click('do-stop');
    await tab.page.getByRole('heading', { name: 'Stop text-short for good?' }).waitFor();
    await axe('the question');
    await tab.page.keyboard.press('Escape');
    await tab.get('confirm-do').waitFor({ state: 'hidden' });
    await tab.get('phase-text-short').getByText('Running').waitFor();
    await tab.get('do-stop').focus();
    await tab.page.keyboard.press('Enter');
    await tab.get('confirm-do').focus();
    await tab.page.keyboard.press('Enter');
    await tab.get('phase-text-short').getByText('Stopped').waitFor();
    assert.equal(await tab.get('do-stop').count(), 0);
  });

  await t.test('what happened can be read', async () => {
    await tab.click('page-events');
    await tab.get('events').locator('tbody tr').first().waitFor();
    await tab.get('event-filter').fill('text-short');
    await tab.get('events').getByText('text-short').first().waitFor();
    await axe('events');
  });

  await t.test('who signs out leaves nothing behind', async () => {
    await tab.click('sign-out');
    await tab.get('token').waitFor();
    await tab.page.reload();
    await tab.get('token').waitFor();
    assert.equal(await tab.page.evaluate(() => sessionStorage.length), 0);
  });

  assert.deepEqual(tab.problems, []);
});
