// Takes the pictures by which the page's looks are judged, into dev/screens/.
import { mkdirSync } from 'node:fs';
import { byId, openMock } from './browser.mjs';

const DEFAULTS = { driver: 'computing', away: false, runs: 'one', version: 1_204, finished: false };

const STATES = {
  first: { consented: false, act: async () => {} },
  ready: { act: async () => {} },
  computing: { act: async (page) => computeFor(page, 6_000) },
  paused: {
    act: async (page) => {
      await computeFor(page, 3_500);
      await byId(page, 'pause').click();
    },
  },
  backoff: { scenario: { driver: 'backoff' }, act: async (page) => computeFor(page, 300) },
  reload: { scenario: { driver: 'version_mismatch' }, act: async (page) => computeFor(page, 300) },
  finished: {
    act: async (page) => {
      await computeFor(page, 3_000);
      await byId(page, 'finish').click();
      await page.locator('[data-testid="state"][data-state="finished"]').waitFor();
    },
  },
  away: { scenario: { away: true }, act: async () => {} },
  many: { scenario: { runs: 'many', driver: 'rejecting' }, act: async (page) => computeFor(page, 5_000) },
};

async function computeFor(page, ms) {
  await byId(page, 'start').click();
  await page.waitForTimeout(ms);
}

const only = process.argv.slice(2);
const out = new URL('screens/', import.meta.url).pathname;
mkdirSync(out, { recursive: true });
const mock = await openMock();
for (const [name, { scenario = {}, consented = true, act }] of Object.entries(STATES)) {
  if (only.length > 0 && !only.includes(name)) continue;
  for (const width of [390, 1280]) {
    for (const dark of [false, true]) {
      await mock.play({ ...DEFAULTS, ...scenario });
      const page = await mock.visit({ width, height: width < 500 ? 844 : 860, dark, consented });
      await page.waitForTimeout(1_500);
      const sample = byId(page, 'digit-sample-3');
      if (await sample.isVisible()) await sample.click();
      await act(page);
      await page.waitForTimeout(500);
      await page.evaluate(() => scrollTo(0, 0));
      const file = `${out}${name}-${width}-${dark ? 'dark' : 'light'}.png`;
      await page.screenshot({ path: file, fullPage: true });
      await page.screenshot({ path: file.replace('.png', '-fold.png') });
      await page.context().close();
      console.log(file);
    }
  }
}
await mock.close();
