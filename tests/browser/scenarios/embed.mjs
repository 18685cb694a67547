// The badge on pages of other people: asked for there, allowed here, and nobody computes unseen.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import { Server } from '../lib/server.mjs';
import { serveSite } from '../lib/site.mjs';
import { openBrowser, Tab } from '../lib/tab.mjs';
import { until } from '../lib/wait.mjs';

const DUTY_PERCENT = 30;
/** Of one core: what a duty cycle of that comes to, with room for a busy machine. */
const BUSY_MAX = 0.4;
const PATIENCE_MS = 2_000;

test('a badge on a foreign page asks, computes in sight and nowhere else', { timeout: 900_000 }, async (t) => {
  const site = await serveSite(t, `data-run="mnist-long" data-duty="${DUTY_PERCENT}"`);
  // By its other name this machine is another site, whose frames have a storage of their own.
  const foreign = `http://localhost:${site.port}`;
  const near = `http://127.0.0.1:${site.port}`;
  const server = await Server.start(
    t,
    'embed',
    'mnist-long.toml',
    ...['--allow-origin', foreign, '--allow-origin', near],
  );
  site.show(server.origin);
  const browser = await openBrowser(t);
  const tab = await Tab.open(browser, server.origin);
  await tab.click('consent-accept');
  const frame = tab.page.frameLocator('iframe');
  const state = () => frame.getByTestId('state').getAttribute('data-state');

  await t.test('it is a sandboxed frame of the server with a policy of its own', async () => {
    await tab.page.goto(foreign);
    await frame.getByTestId('embed-accept').waitFor();
    const sandbox = await tab.page.locator('iframe').getAttribute('sandbox');
    assert.deepEqual(sandbox.split(' ').sort(), [
      'allow-popups',
      'allow-popups-to-escape-sandbox',
      'allow-same-origin',
      'allow-scripts',
    ]);
    const policy = (await fetch(`${server.origin}/embed.html`)).headers.get('content-security-policy');
    assert.match(policy, /^default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'/);
    assert.ok(policy.endsWith(`frame-ancestors 'self' ${foreign} ${near}`), policy);
    const alone = (await fetch(server.origin)).headers.get('content-security-policy');
    assert.match(alone, /frame-ancestors 'none'$/);
  });

  await t.test('it asks, whatever was agreed on the page of the server', async () => {
    for (const origin of [foreign, near]) {
      await tab.page.goto(origin);
      await frame.getByTestId('embed-accept').waitFor();
      await sleep(PATIENCE_MS / 2);
      assert.equal(tab.page.workers().length, 0, origin);
    }
    assert.equal((await server.status()).workers, 0);
    assert.match(await frame.locator('main').innerText(), /Handwritten digits, a long run/);
  });

  await t.test('it computes after the click, at the share that the page asked for', async () => {
    await tab.page.goto(foreign);
    await frame.getByTestId('embed-accept').click();
    await until('credit', 60_000, async () => {
      const value = await frame.getByTestId('samples-credited').getAttribute('data-value');
      return Number(value) > 0;
    });
    const { workers, lanes } = await server.status();
    assert.deepEqual({ workers, lanes }, { workers: 1, lanes: 1 });
    const busy = Number(await frame.getByTestId('busy').getAttribute('data-value'));
    t.diagnostic(`asked for ${DUTY_PERCENT} %, measured ${(100 * busy).toFixed(0)} %`);
    assert.ok(busy <= BUSY_MAX, `busy for ${busy}`);
    assert.deepEqual(await axe(tab), []);
  });

  await t.test('it rests while it is scrolled out of sight', async () => {
    await tab.page.goto(`${foreign}/tall`);
    await server.untilStatus('nobody', 20_000, ({ workers }) => workers === 0);
    await tab.page.evaluate(() => scrollTo(0, document.body.scrollHeight));
    // Private windows give frames of other sites no storage: it asks again.
    await frame.getByTestId('embed-accept').click();
    await until('work', 30_000, async () => (await state()) === 'computing');
    await tab.page.evaluate(() => scrollTo(0, 0));
    await until('a pause', 10_000, async () => (await state()) === 'paused');
    await sleep(PATIENCE_MS / 2);
    const { version } = await server.status();
    await sleep(PATIENCE_MS);
    assert.equal((await server.status()).version, version, 'an unseen badge went on');
    await tab.page.evaluate(() => scrollTo(0, document.body.scrollHeight));
    await server.untilStatus('steps in sight', 20_000, (status) => status.version > version);
  });

  await t.test('it can be paused and ended in the frame', async () => {
    await frame.getByTestId('pause').click();
    await until('a pause', 10_000, async () => (await state()) === 'paused');
    await frame.getByTestId('finish').click();
    await server.untilStatus('nobody', 20_000, ({ workers }) => workers === 0);
  });

  await t.test('where it has a storage it remembers, and still starts nothing by itself', async () => {
    await tab.page.goto(near);
    await frame.getByTestId('embed-accept').click();
    await until('work', 30_000, async () => (await state()) === 'computing');
    await tab.page.reload();
    await frame.getByTestId('start').waitFor();
    await server.untilStatus('nobody', 20_000, ({ workers }) => workers === 0);
    assert.equal(tab.page.workers().length, 0);
    await tab.page.goto(server.origin);
    assert.equal(await tab.get('duty').inputValue(), '100', "the badge's share is not the page's");
  });

  assert.deepEqual(tab.problems, []);

  await t.test('a page that the operator did not admit shows no badge', async (t) => {
    const other = await serveSite(t, '');
    other.show(server.origin);
    await tab.page.goto(`http://localhost:${other.port}`);
    await until('the refusal', 10_000, () => tab.page.frames().at(-1)?.url().startsWith('chrome-error:'));
    assert.equal(tab.page.workers().length, 0);
  });
});

/** Accessibility violations inside the frame, in words. */
async function axe(tab) {
  const frame = tab.page.frames().find((frame) => frame.url().includes('/embed.html'));
  return tab.axe(frame);
}
