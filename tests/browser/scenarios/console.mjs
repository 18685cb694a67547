// The operator's console against a real server: nothing without the token, nothing destructive without a question.
import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { FIXTURES } from '../lib/environment.mjs';
import { Server } from '../lib/server.mjs';
import { openBrowser, Tab } from '../lib/tab.mjs';
import { until } from '../lib/wait.mjs';

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

  await t.test('a worker is banned with a reason, told it, and let in again', async () => {
    const worker = server.addWorker('--lanes', '1', '--duty', '5');
    await tab.get('worker-filter').fill('connected');
    const rows = tab.get('workers').locator('tbody tr');
    await rows.nth(1).waitFor({ timeout: 30_000 });
    const names = await rows.locator('th').allInnerTexts();
    const newest = names.toSorted((a, b) => Number(b.slice(1)) - Number(a.slice(1)))[0];
    await tab.click(`ban-${newest}`);
    await tab.page.getByRole('heading', { name: `Ban ${newest}?` }).waitFor();
    await axe('the question of a ban');
    // Without a reason nothing is sent.
    await tab.click('confirm-do');
    await tab.get('confirm-reason').fill('wrong gradients');
    await tab.get('confirm-lasts').selectOption('1d');
    await tab.click('confirm-do');
    await tab.get('bans').getByText('wrong gradients').waitFor();
    assert.notEqual((await worker.exited).code, 0);
    assert.match(worker.tail(), /wrong gradients/);
    await axe('workers with a ban');
    await tab.get('bans').getByRole('button', { name: 'Lift the ban' }).click();
    await tab.click('confirm-do');
    await tab.get('bans-none').getByText('Nobody is banned.').waitFor();
    await tab.get('worker-filter').fill('');
  });

  await t.test('a token is issued, shown once, and revoked', async () => {
    await tab.click('page-tokens');
    await tab.page.getByText('No token was issued yet.').waitFor();
    await tab.get('token-label').fill('the night shift');
    await tab.get('token-scope').selectOption('read');
    await tab.get('token-expires').selectOption('1h');
    await tab.click('issue');
    const secret = await tab.get('secret').innerText();
    const status = async () =>
      (await fetch(`${server.admin}/admin/runs`, { headers: { authorization: `Bearer ${secret}` } })).status;
    assert.equal(await status(), 200);
    await tab.context.grantPermissions(['clipboard-read', 'clipboard-write']);
    await tab.click('copy-secret');
    await tab.get('copied').getByText('Copied.').waitFor();
    assert.equal(await tab.page.evaluate(() => navigator.clipboard.readText()), secret);
    const row = tab.get('tokens').locator('tbody tr', { hasText: 'the night shift' });
    await row.getByText('valid', { exact: true }).waitFor();
    await axe('tokens, with a new one');
    await tab.click('close-secret');
    assert.equal(await tab.page.getByText(secret).count(), 0);
    await row.getByRole('button').click();
    await tab.get('confirm-cancel').click();
    assert.equal(await status(), 200);
    await row.getByRole('button').click();
    await tab.get('confirm-do').click();
    await row.getByText('revoked', { exact: true }).waitFor();
    assert.equal(await status(), 401);
    await axe('tokens');
  });

  await t.test('lists of which the server gives a page are read on', async () => {
    const admin = (method, path, body) =>
      fetch(`${server.admin}/admin/${path}`, {
        method,
        headers: { authorization: `Bearer ${server.token}`, 'content-type': 'application/json' },
        body: JSON.stringify(body),
      }).then(({ status }) => assert.ok(status < 300, `${path}: ${status}`));
    // Pages have 200 rows.
    const many = Array.from({ length: 230 }, (_, idx) => idx);
    const identity = (idx) => idx.toString(16).padStart(64, '0');
    const forAll = async (act) => {
      for (let at = 0; at < many.length; at += 23) await Promise.all(many.slice(at, at + 23).map(act));
    };
    await forAll((idx) => admin('POST', 'tokens', { label: `worker ${idx}`, scope: 'read' }));
    await forAll((idx) => admin('PUT', `bans/${identity(idx)}`, { reason: 'a test' }));
    for (const [page, list] of [['tokens', 'tokens'], ['workers', 'bans']]) {
      await tab.click(`page-${page}`);
      const rows = tab.get(list).locator('tbody tr');
      await rows.nth(199).waitFor();
      assert.equal(await rows.count(), 200);
      assert.equal(await tab.get(`shown-${list}`).innerText(), 'The first 200.');
      // Once: it looks at every row.
      if (list === 'bans') await axe('a list that goes on');
      await tab.click(`more-${list}`);
      await rows.nth(229).waitFor();
      assert.match(await tab.get(`shown-${list}`).innerText(), /^All 23\d\.$/);
      assert.equal(await tab.get(`more-${list}`).count(), 0);
    }
    await forAll((idx) => admin('DELETE', `bans/${identity(idx)}`));
  });

  await t.test('a run is created from its file, and what is wrong in it is said while it is typed', async () => {
    await tab.click('page-create');
    const verdict = (state) => tab.page.locator(`[data-testid=verdict][data-state=${state}]`);
    await tab.get('run-text').fill('name = "x"\nunknown = 1\n');
    await verdict('invalid').getByText('unknown field').waitFor();
    await axe('create, a bad file');
    // Whoever does not wait for it is told so, too.
    await tab.click('create');
    await tab.get('problem').getByText('unknown').waitFor();
    assert.match(tab.problems.splice(0).join(), /422/);
    const text = readFileSync(join(FIXTURES, 'text-short.toml'), 'utf8');
    await tab.get('run-text').fill(text.replace('micro_batch = 16', 'micro_batch = 17'));
    await verdict('invalid').getByText('train.global_batch', { exact: true }).waitFor();
    await tab.get('run-file').setInputFiles(join(FIXTURES, 'text-short.toml'));
    await tab.page.waitForFunction((text) => document.querySelector('textarea').value === text, text);
    await verdict('valid').getByText('text-short').waitFor();
    await axe('create, a good file');
    await tab.click('create');
    await tab.get('phase-text-short').getByText('Not started').waitFor({ timeout: 120_000 });
    await tab.click('do-start');
    await tab.get('phase-text-short').getByText('Running').waitFor();
  });

  await t.test('a form writes the run file, and what is filled in is checked', async () => {
    await tab.click('page-create');
    const verdict = (state) => tab.page.locator(`[data-testid=verdict][data-state=${state}]`);
    await tab.get('run-text').fill('');
    await tab.click('form-open');
    await verdict('valid').getByText('my-run').waitFor();
    await tab.get('form-template').selectOption('mlp');
    await tab.get('form-name').fill('by-form');
    await tab.get('form-epochs').fill('');
    await verdict('invalid').waitFor();
    await tab.get('form-epochs').fill('2');
    await tab.get('form-optimizer').selectOption('adamw');
    await verdict('valid').getByText('by-form').waitFor();
    await axe('create, the form');
    const text = await tab.get('run-text').inputValue();
    assert.match(text, /^name = "by-form"$/m);
    assert.match(text, /^epochs = 2$/m);
    assert.match(text, /^kind = "adamw"$/m);
    // What was changed by hand is not written over unasked.
    await tab.get('run-text').fill(`${text}\n# mine`);
    await tab.click('form-rewrite');
    assert.equal(await tab.get('run-text').inputValue(), text);
    await tab.click('page-overview');
    await tab.page.getByRole('link', { name: 'text-short' }).click();
    await tab.get('phase-text-short').waitFor();
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
    // Opening, the dialog moves the focus itself.
    await tab.get('confirm-do').waitFor();
    // The browser may say only now that the first one was closed.
    await tab.page.locator('dialog[open]').dispatchEvent('close');
    await tab.get('confirm-do').focus();
    await tab.page.keyboard.press('Enter');
    await tab.get('phase-text-short').getByText('Stopped').waitFor();
    assert.equal(await tab.get('do-stop').count(), 0);
  });

  await t.test('who works on which part of the step can be seen', async () => {
    await tab.click('page-overview');
    await tab.page.getByRole('link', { name: 'mnist-long' }).click();
    await tab.get('leases').locator('tbody tr').first().waitFor({ timeout: 30_000 });
    assert.match(await tab.get('leases').locator('tbody tr').first().innerText(), /^w\d+\s+\d/);
    await tab.untilFigure('received', 100_000, 30_000);
    await tab.untilFigure('sent', 100_000, 30_000);
    const step = await tab.value('work-step');
    await tab.untilFigure('work-step', step + 1, 30_000);
    const none = tab.get('staleness').locator('tbody tr').first();
    assert.match(await none.innerText(), /^0\s+[1-9]/);
    await axe('the run');
  });

  await t.test('settings are changed after they were checked', async () => {
    await tab.click('settings');
    const text = tab.get('run-text');
    await text.waitFor();
    const before = await text.inputValue();
    assert.match(before, /learning_rate = 0\.001/);
    assert.ok(await tab.get('change').isDisabled());
    await text.fill(before.replace('learning_rate = 0.001', 'learning_rate = -1'));
    await tab.page.locator('[data-testid=verdict][data-state=invalid]').getByText('optimizer.learning_rate').waitFor();
    await axe('settings');
    await text.fill(before.replace('learning_rate = 0.001', 'learning_rate = 0.0005'));
    await tab.page.locator('[data-testid=verdict][data-state=valid]').waitFor();
    await tab.click('change');
    await tab.click('confirm-do');
    await tab.get('phase-mnist-long').getByText('Running').waitFor({ timeout: 60_000 });
    await tab.click('settings');
    await text.waitFor();
    assert.match(await text.inputValue(), /learning_rate = 0\.0005/);
    await tab.page.getByRole('link', { name: 'Back to mnist-long' }).click();
  });

  // What the run's page shows of it is asked for every ten seconds: each wait is for what is shown.
  const PAGE_MS = 40_000;

  /** The version at which the run was paused, once the page has the snapshot that was taken then. */
  const snapshotOfPause = () =>
    until('the snapshot of the pause', PAGE_MS, async () => {
      const { version } = await server.status();
      return (await tab.get(`snapshot-${version}`).count()) === 1 ? version : null;
    });

  await t.test('a snapshot is taken home, pinned and let go', async () => {
    const { version: changed } = await server.status();
    await server.untilStatus('steps with the new settings', 60_000, ({ version }) => version >= changed + 20);
    await tab.click('do-pause');
    await tab.click('confirm-do');
    await tab.get('phase-mnist-long').getByText('Paused').waitFor();
    const version = await snapshotOfPause();
    const made = await tab.get(`snapshot-${version}`).locator('time').getAttribute('datetime');
    assert.ok(Math.abs(Date.parse(made) - Date.now()) < PAGE_MS, made);
    assert.ok(await tab.get(`delete-${version}`).isDisabled(), 'the newest one stays');
    const [download] = await Promise.all([tab.page.waitForEvent('download'), tab.click(`download-${version}`)]);
    assert.equal(download.suggestedFilename(), `mnist-long-v${version}.safetensors`);
    assert.ok(statSync(await download.path()).size > 400_000);
    await tab.click(`pin-${version}`);
    await tab.get(`snapshot-${version}`).getByText('pinned').waitFor();
    await tab.click(`pin-${version}`);
    await tab.page.getByRole('heading', { name: 'Unpin the snapshot' }).waitFor();
    await tab.click('confirm-do');
    await tab.get(`snapshot-${version}`).getByText('until newer ones come').waitFor();
    await axe('the run at rest');
  });

  await t.test('a run goes back to an earlier version, and another one begins there', async () => {
    // It rests, so that no version comes or goes but by what is done here.
    const before = await server.status();
    assert.equal(before.phase, 'paused');
    const buttons = tab.get('versions').getByRole('button', { name: 'Roll back to it', disabled: false });
    await buttons.first().waitFor({ timeout: PAGE_MS });
    // The oldest: how many there are depends on when the last snapshots came.
    const id = await buttons.last().getAttribute('data-testid');
    const to = Number(/\d+$/.exec(id)[0]);
    assert.ok(to < before.version);
    await tab.click(id);
    await tab.page.getByRole('heading', { name: 'Roll mnist-long back' }).waitFor();
    await tab.click('confirm-do');
    await server.untilStatus('the version that it went back to', 60_000, ({ version }) => version === to);
    await tab.page.locator(`[data-testid=version-mnist-long][data-value="${to}"]`).waitFor();
    assert.equal((await server.status()).phase, 'paused');
    // The list follows: the newest version that can be had is the one that it stands at.
    await tab.get(`roll-back-${before.version}`).waitFor({ state: 'detached', timeout: PAGE_MS });
    await tab.get(`fork-${to}`).waitFor({ timeout: PAGE_MS });
    await tab.click(`fork-${to}`);
    await tab.get('confirm-name').fill('mnist-fork');
    await tab.click('confirm-do');
    await tab.get('phase-mnist-fork').getByText('Not started').waitFor({ timeout: 60_000 });
    await tab.page.locator(`[data-testid=version-mnist-fork][data-value="${to}"]`).waitFor();
    const forked = await (await fetch(`${server.origin}/api/runs/mnist-fork`)).json();
    assert.equal(forked.version, to);
    assert.equal(forked.params_digest, (await server.status()).params_digest);
  });

  await t.test('an old snapshot is deleted, and never the newest', async () => {
    await tab.page.goto(`${server.admin}/#run/mnist-long`);
    await tab.get('phase-mnist-long').getByText('Paused').waitFor();
    const { version: before } = await server.status();
    await tab.click('do-resume');
    await server.untilStatus('more steps', 60_000, ({ version }) => version >= before + 20);
    await tab.click('do-pause');
    await tab.click('confirm-do');
    await tab.get('phase-mnist-long').getByText('Paused').waitFor();
    const newest = await snapshotOfPause();
    assert.ok(await tab.get(`delete-${newest}`).isDisabled());
    const old = tab.get('snapshots').getByRole('button', { name: 'Delete', disabled: false }).last();
    const id = await old.getAttribute('data-testid');
    await old.click();
    await tab.page.getByRole('heading', { name: 'Delete the snapshot' }).waitFor();
    await tab.click('confirm-do');
    await tab.get(id).waitFor({ state: 'detached', timeout: PAGE_MS });
    assert.equal(await tab.get('problem').innerText(), '');
  });

  await t.test('nothing is wider than a phone, and nothing jumps there', async () => {
    await tab.page.setViewportSize({ width: 390, height: 844 });
    for (const page of ['overview', 'workers', 'events', 'tokens', 'create']) {
      await tab.click(`page-${page}`);
      if (page === 'create') await tab.click('form-open');
      const width = await tab.page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(width <= 390, `${page} is ${width} px wide`);
    }
    await tab.click('page-overview');
    await tab.page.getByRole('link', { name: 'mnist-long' }).click();
    await tab.get('work').waitFor();
    assert.ok((await tab.page.evaluate(() => document.documentElement.scrollWidth)) <= 390, 'the run');
    await axe('the run on a phone');
    await tab.page.setViewportSize({ width: 1280, height: 900 });
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
