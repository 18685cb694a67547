// The mock build in a real browser: a preview server, Chromium, and the mock's scenario switch.
import { chromium } from 'playwright-core';
import { preview } from 'vite';

const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium';
const ARGS = [
  '--headless',
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Starts both; `close` ends both. `problems` collects errors and CSP violations of all pages. */
export async function openMock() {
  const server = await preview({
    mode: 'mock',
    build: { outDir: 'dist-mock' },
    preview: { host: '127.0.0.1', port: 0 },
    logLevel: 'error',
  });
  const { port } = server.httpServer.address();
  const origin = `http://127.0.0.1:${port}`;
  const browser = await chromium.launch({ executablePath: EXECUTABLE, args: ARGS });
  const problems = [];

  const play = (scenario) =>
    fetch(`${origin}/mock`, { method: 'POST', body: JSON.stringify(scenario) });

  /** A fresh visitor, or with `consented` one who has agreed before. */
  const visit = async ({ width = 1280, height = 900, dark = false, consented = false, path = '/', ...context } = {}) => {
    const visitor = await browser.newContext({
      viewport: { width, height },
      colorScheme: dark ? 'dark' : 'light',
      ...context,
    });
    const page = await visitor.newPage();
    page.on('pageerror', (error) => problems.push(String(error)));
    page.on('console', (message) => {
      if (message.type() === 'error') problems.push(message.text());
    });
    if (consented) await page.addInitScript(() => localStorage.setItem('tabswarm.consent', '2'));
    await page.goto(origin + path);
    return page;
  };

  const close = async () => {
    await browser.close();
    await server.close();
  };
  return { origin, play, visit, problems, close };
}

/** The element that tests address by its stable name. */
export const byId = (page, id) => page.getByTestId(id);
