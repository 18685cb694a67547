// Our wasm modules in a browser, without a server of ours around them.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join, normalize } from 'node:path';
import { WASM } from './environment.mjs';

const TYPES = { '.js': 'text/javascript', '.wasm': 'application/wasm', '.html': 'text/html' };
const GLUE = 'tabswarm_client_wasm.js';

/** Serves the modules on a free port of this machine until the test `t` ends; returns the origin. */
export async function serveModules(t) {
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, 'http://localhost').pathname));
    try {
      const body = path === '/' ? '<!doctype html><title>modules</title>' : readFileSync(join(WASM, path));
      const type = path === '/' ? TYPES['.html'] : TYPES[path.slice(path.lastIndexOf('.'))];
      response.writeHead(200, { 'content-type': type ?? 'application/octet-stream' }).end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return `http://127.0.0.1:${server.address().port}`;
}

/** The source of a dedicated worker that calls exports of a module: `[name, ...arguments]` in, the result out. */
const WORKER = `
  let engine;
  onmessage = async ({ data: { id, build, call: [name, ...args] } }) => {
    try {
      if (!engine) {
        engine = await import(location.origin + '/' + build + '/${GLUE}');
        await engine.default({ module_or_path: location.origin + '/' + build + '/${GLUE.replace('.js', '_bg.wasm')}' });
      }
      const started = performance.now();
      const value = await engine[name](...args);
      postMessage({ id, value, took_ms: performance.now() - started });
    } catch (error) {
      postMessage({ id, error: String(error.message ?? error) });
    }
  };
`;

/** One build of the module, loaded in a worker of a page. */
export class Module {
  static async load(browser, origin, build) {
    const page = await browser.newPage();
    await page.goto(origin);
    await page.evaluate(
      ([source, build]) => {
        const url = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));
        const worker = new Worker(url, { type: 'module' });
        const waiting = new Map();
        let last = 0;
        worker.onmessage = ({ data }) => {
          waiting.get(data.id)(data);
          waiting.delete(data.id);
        };
        globalThis.callModule = (call) =>
          new Promise((resolve) => {
            last += 1;
            waiting.set(last, resolve);
            worker.postMessage({ id: last, build, call });
          });
      },
      [WORKER, build],
    );
    return new Module(page);
  }

  constructor(page) {
    this.page = page;
  }

  /** Calls an export; `{ value, took_ms }`, or `{ error }`. */
  call(...call) {
    return this.page.evaluate((call) => globalThis.callModule(call), call);
  }

  close() {
    return this.page.close();
  }
}
