// Takes the pictures in docs/screens from a real server on which a run is really trained, by which the page's looks
// are judged: `node screens.mjs FOLDER [PAGE…]`, with the environment of the browser tests.
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import { RESULTS } from './lib/environment.mjs';
import { Server } from './lib/server.mjs';
import { openBrowser, Tab } from './lib/tab.mjs';

const [folder, ...only] = process.argv.slice(2);
const SLOW_PERCENT = 10;
const SIZES = [[390, 844], [1280, 860], [2560, 1440]];
/** With names on the board; the last of them stays. */
const VOLUNTEERS = ['小明', 'Grace', 'Ada'];
/** Steps after which a curve is one. */
const STEPS = 1_500;

/** Each page: how a fresh visitor comes to it. */
const PAGES = {
  visitor: async (tab) => {
    await tab.get('version').waitFor();
    await tab.click('digit-sample-5');
  },
  run: async (tab) => {
    await work(tab);
    await tab.click('digit-sample-3');
    await tab.click('examine');
    await tab.get('confusion').waitFor({ timeout: 60_000 });
  },
  paused: async (tab) => {
    await work(tab);
    await tab.click('pause');
  },
  writing: async (tab) => {
    await tab.get('prompt').waitFor();
    await tab.click('write');
    await tab.page.locator('[data-testid=written][data-busy=false]:has(strong)').waitFor({ timeout: 60_000 });
  },
  runs: async (tab) => {
    await tab.click('page-runs');
    await tab.get('runs').waitFor();
  },
  leaders: async (tab) => {
    await tab.click('page-leaders');
    await tab.get('leaders').waitFor({ timeout: 60_000 });
  },
  about: (tab) => tab.click('page-about'),
  privacy: (tab) => tab.click('page-privacy'),
  chinese: async (tab) => {
    await tab.click('language-toggle');
    await work(tab);
  },
  console: async (tab, server) => {
    await signIn(tab, server);
  },
  'console-run': async (tab, server) => {
    await signIn(tab, server);
    await tab.page.getByRole('link', { name: server.run }).click();
    await tab.get('versions').waitFor();
  },
  'console-workers': async (tab, server) => {
    await signIn(tab, server);
    await tab.click('page-workers');
    await tab.get('workers').waitFor();
  },
};

test('pictures', { timeout: 1_200_000 }, async (t) => {
  rmSync(RESULTS, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const server = await Server.start(t, 'screens', '../../runs/mnist-mlp.toml');
  await server.createRun('text-short.toml');
  const browser = await openBrowser(t);
  const worker = server.addWorker('--lanes', '1');
  const writer = server.addWorker('--lanes', '1', '--run', 'text-short');
  await server.untilStatus('a curve', 300_000, ({ version }) => version >= STEPS);
  await worker.stop();
  await writer.stop();
  for (const name of VOLUNTEERS) await joinIn(browser, server, name);
  for (const [page, visit] of Object.entries(PAGES)) {
    if (only.length > 0 && !only.includes(page)) continue;
    await picture(browser, server, page, visit);
  }
});

/** A volunteer whose name comes onto the board. */
async function joinIn(browser, server, name) {
  const tab = await Tab.open(browser, server.origin);
  await tab.join(SLOW_PERCENT);
  await tab.untilValue('samples-credited', 1, 60_000);
  await tab.click('page-leaders');
  await tab.get('leader-name').fill(name);
  await tab.click('leader-join');
  await tab.get('leaders').getByText(name).waitFor({ timeout: 60_000 });
  await tab.click('page-run');
  if (name !== VOLUNTEERS.at(-1)) await tab.close();
}

async function signIn(tab, server) {
  await tab.get('token').fill(server.token);
  await tab.click('sign-in');
  await tab.get(`phase-${server.run}`).waitFor();
}

async function work(tab) {
  await tab.join(SLOW_PERCENT);
  await tab.untilValue('samples-credited', 300, 120_000);
}

async function picture(browser, server, page, visit) {
  const path = page === 'writing' ? '/?run=text-short' : '/';
  const origin = page.startsWith('console') ? server.admin : server.origin;
  const tab = await Tab.open(browser, origin + path, { width: 1280, height: 860 });
  await visit(tab, server);
  for (const [width, height] of SIZES) {
    await tab.page.setViewportSize({ width, height });
    for (const theme of ['light', 'dark']) {
      await tab.page.emulateMedia({ colorScheme: theme });
      await sleep(700);
      await tab.page.mouse.move(0, 0);
      await tab.page.evaluate(() => scrollTo(0, 0));
      await tab.page.screenshot({ path: join(folder, `${page}-${width}-${theme}.png`), fullPage: width < 2_000 });
    }
  }
  await tab.close();
}
