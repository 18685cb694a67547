// Walks through the page in a real browser, under the strict CSP, against the mock server and
// engine. Prints one line a check; any failure, console error or axe finding fails the run.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { byId, openMock } from './browser.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const AXE_TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
const CALM = { driver: 'computing', away: false, runs: 'one', version: 1_204, finished: false };
const WAIT = { timeout: 10_000 };

const mock = await openMock();

async function state(page, name) {
  await page.locator(`[data-testid="state"][data-state="${name}"]`).waitFor(WAIT);
}

const number = async (page, id) => Number(await byId(page, id).getAttribute('data-value'));

async function axe(page, where) {
  await page.waitForTimeout(600); // Transitions over colors would be measured half-way.
  // `evaluate` goes through the debugger, so the page's CSP stays as strict as it is.
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(
    (tags) => globalThis.axe.run(document, { runOnly: { type: 'tag', values: tags } }),
    AXE_TAGS,
  );
  const found = violations.map(
    ({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.target} ${node.failureSummary}`).join(' | ')}`,
  );
  assert.deepEqual(found, [], `axe on ${where}`);
}

async function noSidewaysScroll(page) {
  const [content, view] = await page.evaluate(() => [
    document.documentElement.scrollWidth,
    document.documentElement.clientWidth,
  ]);
  assert.ok(content <= view, `content is ${content} px wide in a view of ${view} px`);
}

const CHECKS = {
  'axe would find something': async () => {
    const page = await mock.visit();
    await byId(page, 'consent-accept').waitFor(WAIT);
    await page.evaluate(() => (document.querySelector('.lead').style.color = '#333a55'));
    await assert.rejects(axe(page, 'a page made worse'), /color-contrast/);
    return page;
  },

  'nothing starts before consent, nor by Space': async () => {
    const page = await mock.visit();
    await byId(page, 'consent-accept').waitFor(WAIT);
    await page.keyboard.press('Space');
    assert.equal(await byId(page, 'start').count(), 0);
    assert.equal(page.workers().length, 0);
    await byId(page, 'consent-accept').click();
    await state(page, 'ready');
    assert.equal(page.workers().length, 0, 'accepting starts nothing');
    await page.reload();
    await state(page, 'ready');
    assert.equal(page.workers().length, 0, 'a returning visitor still has to click');
    return page;
  },

  'start, pause, resume, finish': async () => {
    const page = await mock.visit({ consented: true });
    await byId(page, 'start').click();
    await state(page, 'computing');
    await page.waitForFunction(
      () => Number(document.querySelector('[data-testid=samples-accepted]').dataset.value) > 0,
      undefined,
      WAIT,
    );
    assert.ok((await number(page, 'first-accepted')) > 0);
    await byId(page, 'pause').click();
    await state(page, 'paused');
    assert.match(await byId(page, 'reason').innerText(), /You paused it/);
    await byId(page, 'resume').click();
    await state(page, 'computing');
    await byId(page, 'finish').click();
    await state(page, 'finished');
    assert.equal(page.workers().filter((w) => w.url().includes('driver')).length, 0);
    return page;
  },

  'Space toggles, but not inside a control': async () => {
    const page = await mock.visit({ consented: true });
    await byId(page, 'start').waitFor(WAIT);
    await page.keyboard.press('Space');
    await state(page, 'computing');
    await page.keyboard.press('Space');
    await state(page, 'paused');
    await byId(page, 'lanes').focus();
    await page.keyboard.press('Space');
    await page.keyboard.press('Escape');
    await state(page, 'paused');
    return page;
  },

  'focus survives the change of buttons': async () => {
    const page = await mock.visit({ consented: true });
    await byId(page, 'start').focus();
    await page.keyboard.press('Enter');
    await state(page, 'computing');
    const focused = () => page.evaluate(() => document.activeElement.dataset.testid);
    assert.equal(await focused(), 'pause');
    await byId(page, 'finish').focus();
    await page.keyboard.press('Enter');
    await state(page, 'finished');
    assert.equal(await focused(), 'state');
    return page;
  },

  'settings and theme are remembered': async () => {
    const page = await mock.visit({ consented: true });
    await byId(page, 'duty').fill('40');
    await byId(page, 'lanes').selectOption('2');
    await byId(page, 'theme-toggle').click();
    await page.reload();
    assert.equal(await byId(page, 'duty').inputValue(), '40');
    assert.equal(await byId(page, 'lanes').inputValue(), '2');
    assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), 'dark');
    return page;
  },

  'a lost connection counts down and can be retried': async () => {
    await mock.play({ driver: 'backoff' });
    const page = await mock.visit({ consented: true });
    await byId(page, 'start').click();
    await state(page, 'backoff');
    assert.match(await byId(page, 'reason').innerText(), /lost\. Trying again in \d+ sec\./);
    await byId(page, 'retry-now').click();
    await state(page, 'computing');
    return page;
  },

  'a version mismatch asks for a reload, a refusal says why': async () => {
    await mock.play({ driver: 'version_mismatch' });
    const page = await mock.visit({ consented: true });
    await byId(page, 'start').click();
    await state(page, 'version_mismatch');
    await mock.play({ driver: 'refused' });
    await byId(page, 'reload').click();
    await state(page, 'ready');
    await byId(page, 'start').click();
    await state(page, 'refused');
    assert.match(await byId(page, 'reason').innerText(), /full/);
    return page;
  },

  'a crashed engine says so and starts again': async () => {
    await mock.play({ driver: 'crash' });
    const page = await mock.visit({ consented: true });
    await byId(page, 'start').click();
    await state(page, 'failed');
    assert.match(await byId(page, 'reason').innerText(), /told to crash/);
    await mock.play({ driver: 'computing' });
    await byId(page, 'start').click();
    await state(page, 'computing');
    return page;
  },

  'a server that is away comes back': async () => {
    await mock.play({ away: true });
    const page = await mock.visit({ consented: true });
    await page.locator('[data-testid=connection][data-connection=offline]').waitFor(WAIT);
    await mock.play({ away: false });
    await byId(page, 'retry-now').click();
    await byId(page, 'version').waitFor(WAIT);
    await mock.play({ away: true });
    await byId(page, 'offline').waitFor(WAIT);
    await mock.play({ away: false });
    await byId(page, 'retry-now').click();
    await page.locator('[data-testid=connection][data-connection=ready]').waitFor(WAIT);
    expected(/Failed to load resource/);
    return page;
  },

  'the run is shown live, in text and as a table': async () => {
    const page = await mock.visit({ consented: true });
    await byId(page, 'version').waitFor(WAIT);
    const before = await number(page, 'version');
    await page.waitForTimeout(2_500);
    assert.ok((await number(page, 'version')) > before, 'the version moves');
    assert.equal(await number(page, 'steps-total'), 4_690);
    assert.equal(await number(page, 'workers'), 7);
    assert.ok((await number(page, 'train-loss')) > 0);
    assert.ok((await number(page, 'accuracy')) > 0.9);
    await page.locator('.figure-table summary').click();
    assert.ok((await page.locator('.figure-table tbody tr').count()) > 10);
    return page;
  },

  'several runs can be chosen; no run is no error': async () => {
    await mock.play({ runs: 'many' });
    const page = await mock.visit({ consented: true });
    await page.getByRole('radio', { name: /Moby Dick/ }).check();
    await page.getByRole('heading', { name: /Moby Dick/ }).waitFor(WAIT);
    assert.equal(await byId(page, 'digit-canvas').count(), 0, 'no digits for a text model');
    assert.match(page.url(), /run=char-gpt/);
    await axe(page, 'the chooser');
    await mock.play({ runs: 'none' });
    await page.goto(mock.origin);
    await page.waitForFunction(() => /hosts no run/.test(document.body.innerText), undefined, WAIT);
    return page;
  },

  'a digit drawn by mouse and by button is read': async () => {
    const page = await mock.visit({ consented: true });
    const canvas = byId(page, 'digit-canvas');
    await canvas.scrollIntoViewIfNeeded();
    const { x, y, width } = await canvas.boundingBox();
    const at = (u, v) => [x + u * width, y + v * width];
    await page.mouse.move(...at(0.3, 0.22));
    await page.mouse.down();
    for (const point of [[0.7, 0.22], [0.56, 0.5], [0.46, 0.82]]) {
      await page.mouse.move(...at(...point), { steps: 8 });
    }
    await page.mouse.up();
    const answered = page.locator('[data-testid=digit-prediction][data-kind=probabilities]');
    await answered.waitFor(WAIT);
    assert.equal(await number(page, 'digit-prediction'), 7);
    for (let digit = 0; digit < 10; digit++) {
      await byId(page, `digit-sample-${digit}`).click();
      await page.locator(`[data-testid=digit-prediction][data-value="${digit}"]`).waitFor(WAIT);
    }
    await byId(page, 'model-version').selectOption('469');
    await page.getByText('model of step 469').waitFor(WAIT);
    await byId(page, 'digit-clear').click();
    await page.locator('[data-testid=digit-prediction][data-kind=empty]').waitFor(WAIT);
    return page;
  },

  'a digit drawn by touch is read': async () => {
    const page = await mock.visit({ consented: true, width: 390, height: 844, hasTouch: true });
    await byId(page, 'digit-canvas').scrollIntoViewIfNeeded();
    await byId(page, 'digit-canvas').tap();
    await page.locator('[data-testid=digit-prediction][data-kind=probabilities]').waitFor(WAIT);
    return page;
  },

  'diagnostics hold no address': async () => {
    const page = await mock.visit({ consented: true });
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
    await byId(page, 'page-about').click();
    await byId(page, 'copy-diagnostics').click();
    await page.getByText('Copied', { exact: true }).waitFor(WAIT);
    const text = await page.evaluate(() => navigator.clipboard.readText());
    assert.equal(JSON.parse(text).consented, true);
    assert.doesNotMatch(text, /127\.0\.0\.1|https?:/);
    return page;
  },

  'withdrawing consent stops everything': async () => {
    const page = await mock.visit();
    await byId(page, 'consent-accept').click();
    await byId(page, 'start').click();
    await state(page, 'computing');
    await byId(page, 'page-about').click();
    assert.ok(page.workers().length > 0, 'reading another page ends nothing');
    await byId(page, 'consent-withdraw').click();
    await byId(page, 'page-run').click();
    await byId(page, 'consent-accept').waitFor(WAIT);
    assert.equal(page.workers().length, 0);
    return page;
  },

  'computing moves nothing': async () => {
    const page = await mock.visit({ consented: true });
    await page.evaluate(() => {
      globalThis.shift = 0;
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) if (!entry.hadRecentInput) globalThis.shift += entry.value;
      }).observe({ type: 'layout-shift', buffered: false });
    });
    await byId(page, 'start').click();
    await page.waitForTimeout(5_000);
    const shift = await page.evaluate(() => globalThis.shift);
    assert.ok(shift < 0.02, `cumulative layout shift ${shift}`);
    return page;
  },

  'axe finds nothing in either theme, before consent and while computing': async () => {
    for (const dark of [false, true]) {
      const first = await mock.visit({ dark, width: 360, height: 740 });
      await byId(first, 'version').waitFor(WAIT);
      await axe(first, `first visit, dark ${dark}`);
      await noSidewaysScroll(first);
      await first.context().close();
      await mock.play({ driver: 'rejecting' });
      const page = await mock.visit({ dark, consented: true });
      await byId(page, 'start').click();
      await byId(page, 'digit-sample-3').click();
      await page.locator('.rejections').waitFor({ timeout: 30_000 });
      await page.locator('.rejections summary').click();
      await page.locator('.figure-table summary').click();
      await axe(page, `computing, dark ${dark}`);
      await byId(page, 'pause').click();
      await axe(page, `paused, dark ${dark}`);
      await page.context().close();
    }
    await mock.play({ driver: 'backoff' });
    const page = await mock.visit({ consented: true });
    await byId(page, 'start').click();
    await state(page, 'backoff');
    await axe(page, 'backoff');
    return page;
  },

  'refusing the consent leaves a page to look at, and an old consent is asked again': async () => {
    const page = await mock.visit();
    await byId(page, 'consent-refuse').click();
    await byId(page, 'consent-refused').waitFor(WAIT);
    await page.keyboard.press('Space');
    assert.equal(page.workers().length, 0);
    await byId(page, 'digit-sample-3').click();
    await page.locator('[data-testid=digit-prediction][data-value="3"]').waitFor(WAIT);
    await byId(page, 'consent-again').click();
    await byId(page, 'consent-accept').waitFor(WAIT);
    await page.evaluate(() => localStorage.setItem('tabswarm.consent', '1'));
    await page.reload();
    await byId(page, 'consent-changed').waitFor(WAIT);
    return page;
  },

  'the data cap pauses, and raising it goes on': async () => {
    const page = await mock.visit({ consented: true });
    await page.evaluate(() => {
      const now = new Date();
      const day = `${now.getFullYear()}-${now.getMonth() + 1}-${now.getDate()}`;
      localStorage.setItem('tabswarm.usage', JSON.stringify({ day, bytes: 60_000_000 }));
    });
    await page.reload();
    await byId(page, 'data-cap').selectOption('50');
    await byId(page, 'start').click();
    await state(page, 'paused');
    await byId(page, 'data-cap').selectOption('0');
    await state(page, 'computing');
    return page;
  },

  'the model is examined, written with and taken home': async () => {
    const page = await mock.visit({ consented: true });
    await byId(page, 'examine').click();
    await byId(page, 'confusion').waitFor(WAIT);
    assert.ok((await page.locator('[data-testid=over-time] tbody tr').count()) >= 2);
    await axe(page, 'the examined model');
    const file = page.waitForEvent('download');
    await byId(page, 'download').click();
    assert.match((await file).suggestedFilename(), /^mnist-mlp-step-\d+\.safetensors$/);
    await mock.play({ runs: 'many' });
    await page.goto(`${mock.origin}/?run=char-gpt`);
    await byId(page, 'prompt').fill('Whales');
    await byId(page, 'write').click();
    await page.waitForFunction(
      () => document.querySelector('[data-testid=written]').textContent.includes('the whale'),
      undefined,
      WAIT,
    );
    await byId(page, 'write').click();
    await page.locator('[data-testid=written][data-busy=false]').waitFor(WAIT);
    await axe(page, 'the text model');
    return page;
  },

  'a name is put on the leaderboard by choice; the card is made': async () => {
    const page = await mock.visit({ consented: true });
    await byId(page, 'start').click();
    await page.locator('[data-testid=rank][data-value="3"]').waitFor(WAIT);
    await byId(page, 'card-open').click();
    const picture = page.waitForEvent('download');
    await byId(page, 'card-save').click();
    assert.equal((await picture).suggestedFilename(), 'tabswarm.png');
    await byId(page, 'card-close').click();
    await byId(page, 'page-leaders').click();
    await byId(page, 'leaders').waitFor(WAIT);
    await byId(page, 'leader-name').fill('Ada');
    await byId(page, 'leader-join').click();
    await page.getByText('You are on it as Ada.').waitFor(WAIT);
    return page;
  },

  'every page is accessible in both themes and both languages': async () => {
    for (const dark of [false, true]) {
      const page = await mock.visit({ dark, consented: true, width: 390, height: 844 });
      for (const tongue of ['en', 'zh-Hans']) {
        for (const view of ['runs', 'leaders', 'about', 'privacy', 'run']) {
          await byId(page, `page-${view}`).click();
          await axe(page, `${view}, dark ${dark}, ${tongue}`);
          await noSidewaysScroll(page);
        }
        await byId(page, 'language-toggle').click();
      }
      await page.context().close();
    }
    const badge = await mock.visit({ path: '/embed.html?run=mnist-mlp&duty=50', width: 340, height: 200 });
    await byId(badge, 'embed-accept').waitFor(WAIT);
    await axe(badge, 'the badge');
    await byId(badge, 'embed-accept').click();
    await state(badge, 'computing');
    await axe(badge, 'the badge at work');
    return badge;
  },

  'fits from 360 px to 4K': async () => {
    for (const width of [360, 768, 1_024, 3_840]) {
      const page = await mock.visit({ consented: true, width, height: 900 });
      await byId(page, 'version').waitFor(WAIT);
      await byId(page, 'start').click();
      await page.waitForTimeout(800);
      await noSidewaysScroll(page);
      await page.context().close();
    }
    return mock.visit();
  },
};

/** Takes console errors that a check brought about on purpose off the list. */
function expected(pattern) {
  const rest = mock.problems.filter((problem) => !pattern.test(problem));
  mock.problems.splice(0, mock.problems.length, ...rest);
}

const only = process.argv[2];
let failed = 0;
for (const [name, check] of Object.entries(CHECKS)) {
  if (only !== undefined && !name.includes(only)) continue;
  await mock.play(CALM);
  mock.problems.length = 0;
  try {
    const page = await check();
    await page.context().close();
    assert.deepEqual(mock.problems, [], 'errors on the page');
    console.log(`ok    ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL  ${name}\n      ${String(error.stack).replaceAll('\n', '\n      ')}`);
  }
}
await mock.close();
console.log(failed === 0 ? 'all checks passed' : `${failed} checks failed`);
process.exitCode = failed === 0 ? 0 : 1;
