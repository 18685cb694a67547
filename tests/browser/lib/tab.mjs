// A browser, its tabs, and everything that goes wrong in them.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { CHROMIUM, RESULTS } from './environment.mjs';
import { until } from './wait.mjs';

const ARGS = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Colors half-way through a transition are nobody's choice. Runs in the page. */
async function settle() {
  const ends = (animation) => Number.isFinite(animation.effect.getComputedTiming().endTime);
  const animations = document.getAnimations().filter(ends);
  await Promise.allSettled(animations.map((animation) => animation.finished));
}

/** A GPU made of software, the same on every machine. */
const GPU_ARGS = [
  '--enable-unsafe-webgpu',
  '--enable-features=Vulkan',
  '--use-vulkan=swiftshader',
  '--use-webgpu-adapter=swiftshader',
  '--ignore-gpu-blocklist',
];

/** Starts a headless browser that ends with the test `t`, with a GPU and more options if asked for. */
export async function openBrowser(t, { gpu = false, options = [] } = {}) {
  const args = [...ARGS, ...(gpu ? GPU_ARGS : []), ...options];
  const browser = await chromium.launch({ executablePath: CHROMIUM, args });
  t.after(() => browser.close());
  return browser;
}

/** Starts a browser with a profile of its own in a folder; it ends with the test `t`. */
export async function openProfile(t, folder) {
  const context = await chromium.launchPersistentContext(folder, { executablePath: CHROMIUM, args: ARGS });
  t.after(() => context.close());
  return context;
}

/** Whether a worker of a page is a lane. */
export const isLane = (worker) => /\/lane-[^/]*\.js$/.test(worker.url());

/** One volunteer: a context of its own, so nothing is shared with another one's storage. */
export class Tab {
  static async open(browser, origin, { width = 1280, height = 900, theme = 'light' } = {}) {
    const context = await browser.newContext({
      viewport: { width, height },
      colorScheme: theme,
      reducedMotion: 'reduce',
    });
    return Tab.start(context, origin);
  }

  /** Opens a page in a context that there is. */
  static async start(context, origin) {
    const tab = new Tab(context, await context.newPage());
    await tab.#watch();
    await tab.page.goto(origin);
    return tab;
  }

  constructor(context, page) {
    this.context = context;
    this.page = page;
    this.problems = [];
  }

  async #watch() {
    const { page, problems } = this;
    page.on('pageerror', (error) => problems.push(`exception: ${error}`));
    page.on('crash', () => problems.push('the tab crashed'));
    page.on('console', (message) => {
      if (message.type() === 'error') problems.push(`console: ${message.text()}`);
    });
    page.on('response', (answer) => {
      if (answer.status() >= 400) problems.push(`${answer.status()} ${answer.url()}`);
    });
    await page.exposeFunction('reportViolation', (text) => problems.push(`CSP: ${text}`));
    await page.addInitScript(() => {
      document.addEventListener('securitypolicyviolation', (event) => {
        globalThis.reportViolation(`${event.violatedDirective} ${event.blockedURI}`);
      });
    });
  }

  /** The element with that test id. */
  get(id) {
    return this.page.getByTestId(id);
  }

  click(id) {
    return this.get(id).click();
  }

  /** The raw number behind a figure, or null while there is none. */
  async value(id) {
    const value = await this.get(id).getAttribute('data-value');
    return value === null || value === '' ? null : Number(value);
  }

  state() {
    return this.get('state').getAttribute('data-state');
  }

  /** Waits until the page says that its session is in one of these states. */
  untilState(limit_ms, ...states) {
    return until(
      `the page's state ${states.join(' or ')}`,
      limit_ms,
      async () => states.includes(await this.state()),
      async () => `— it is ${await this.state()}: ${await this.get('reason').textContent()}`,
    );
  }

  /** Waits until a figure is at least that. */
  untilValue(id, least, limit_ms) {
    return until(
      `${id} of at least ${least}`,
      limit_ms,
      async () => ((await this.value(id)) ?? -Infinity) >= least,
      async () => `— it is ${await this.value(id)}; the page says: ${await this.get('reason').textContent()}`,
    );
  }

  /** The same where there is no session to say why it is not. */
  untilFigure(id, least, limit_ms) {
    return until(
      `${id} of at least ${least}`,
      limit_ms,
      async () => ((await this.value(id)) ?? -Infinity) >= least,
    );
  }

  /** Opens the page anew, with this remembered of its volunteer. */
  async remember(preferences) {
    const text = JSON.stringify(preferences);
    await this.page.evaluate((text) => localStorage.setItem('tabswarm.preferences', text), text);
    await this.page.reload();
  }

  /** The workers that compute. */
  lanes() {
    return this.page.workers().filter(isLane);
  }

  /** Sets the share of time that may be spent computing. */
  setDuty(percent) {
    return this.get('duty').fill(String(percent));
  }

  /** Agrees and starts with that duty cycle, without waiting for anything to come of it. */
  async join(duty_percent) {
    await this.click('consent-accept');
    await this.setDuty(duty_percent);
    await this.click('start');
  }

  /** Agrees and starts; returns the milliseconds from the click to the first accepted update. */
  async volunteer(limit_ms) {
    await this.click('consent-accept');
    await this.get('start').waitFor();
    const clicked = performance.now();
    await this.click('start');
    await until(
      'the first accepted update',
      limit_ms,
      async () => (await this.value('first-accepted')) !== null,
      async () => `— the page says: ${await this.get('reason').textContent()}`,
    );
    return performance.now() - clicked;
  }

  /** Accessibility violations of the page, or of a frame in it, as it stands, in words. */
  async axe(view = this.page) {
    // Through the debugger: the page's own policy refuses scripts that are not the page's.
    await view.evaluate(AXE);
    await view.evaluate(settle);
    const { violations } = await view.evaluate(() => globalThis.axe.run(document));
    return violations.map(({ id, help, nodes }) => `${id}: ${help} (${nodes.map((node) => node.target).join('; ')})`);
  }

  /** Pictures for people, at the sizes and in the themes that are promised. */
  async screenshots(name) {
    for (const theme of ['light', 'dark']) {
      await this.page.emulateMedia({ colorScheme: theme });
      for (const width of [390, 1280]) {
        await this.page.setViewportSize({ width, height: width === 390 ? 844 : 900 });
        const path = join(RESULTS, `${name}-${width}-${theme}.png`);
        await this.page.screenshot({ path, fullPage: true });
      }
    }
  }

  close() {
    return this.context.close();
  }
}
