// Engines in a headless Chromium: `node host.mjs CONFIG`, started by `cargo xtask bench compute`.
//
// CONFIG is JSON: `chromium`, the browser's path, and `folders`, what is served under which first
// part of a path. Reads one request a line from standard input and answers each with one line:
// { engine, run, micro_batch, millis, ... } -> { samples_per_s, ... } or { error }. An engine has a
// worker of its own that stays from request to request; only one computes at a time.
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const ARGS = ['--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-sync',
  // A GPU made of software, the same for all who use one: machines that measure have none of another kind.
  '--enable-unsafe-webgpu', '--enable-features=Vulkan', '--use-vulkan=swiftshader', '--use-webgpu-adapter=swiftshader',
  '--ignore-gpu-blocklist'];
const TYPES = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.wasm': 'application/wasm',
};
/** Which script drives an engine, and whether it is a module. */
const WORKERS = {
  simd128: ['/page/ours.js', 'module'],
  relaxed: ['/page/ours.js', 'module'],
  gpu: ['/page/ours.js', 'module'],
  burn: ['/page/burn.js', 'module'],
  tfjs: ['/tfjs/worker.js', 'classic'],
  'tfjs-webgpu': ['/tfjs/worker.js', 'classic'],
};
/** An engine that says nothing for so long beyond its time is taken for dead. */
const PATIENCE_MS = 120_000;

const config = JSON.parse(process.argv[2]);
const folders = { page: fileURLToPath(new URL('page', import.meta.url)), ...config.folders };

/** Serves the folders to this machine alone. */
async function serve() {
  const server = createServer(async (request, response) => {
    const [, folder, ...rest] = normalize(new URL(request.url, 'http://localhost').pathname).split('/');
    try {
      const file = join(folders[folder], ...rest);
      const body = await readFile(file);
      response.writeHead(200, { 'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream' }).end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  return server;
}

/** Asks an engine's worker, which is made when it is first needed. Runs in the page. */
function ask({ engine, worker: [script, type], request, patience_ms }) {
  globalThis.workers ??= {};
  const worker = (globalThis.workers[engine] ??= new Worker(script, { type }));
  return new Promise((answer) => {
    const give_up = (error) => {
      worker.terminate();
      delete globalThis.workers[engine];
      answer({ error });
    };
    const timer = setTimeout(() => give_up('no answer'), patience_ms);
    worker.onmessage = ({ data }) => {
      clearTimeout(timer);
      answer(data);
    };
    worker.onerror = (event) => {
      clearTimeout(timer);
      give_up(event.message ?? 'the worker could not be loaded');
    };
    worker.postMessage(request);
  });
}

const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);

const server = await serve();
const browser = await chromium.launch({ executablePath: config.chromium, args: ARGS });
const page = await browser.newPage();
await page.goto(`http://127.0.0.1:${server.address().port}/page/index.html`);
say({ version: `Chromium ${browser.version()}` });

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  const { engine } = request;
  const worker = WORKERS[engine];
  const patience_ms = PATIENCE_MS + request.millis;
  say(await page.evaluate(ask, { engine, worker, request: { folder: engine, ...request }, patience_ms }));
}

await browser.close();
server.close();
