/**
 * Vite plugin: an HTTP server that pretends to train. The real server's routes under /api, a
 * strict Content-Security-Policy on every answer, and POST /mock to change what it plays.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Connect, Plugin } from 'vite';
import type { HistoryPage, RunStatus, Snapshot } from '../src/api/types.ts';

const CSP = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "worker-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ');

const STEPS_TOTAL = 4_690;
const STEPS_PER_EPOCH = 469;

/** What the mock plays; POST /mock with a JSON object changes fields. */
interface Scenario {
  /** Read by the mock driver when it starts. */
  driver: 'computing' | 'backoff' | 'version_mismatch' | 'refused' | 'crash' | 'rejecting';
  away: boolean;
  runs: 'one' | 'many' | 'none';
  version: number;
  finished: boolean;
}

const scenario: Scenario = {
  driver: 'computing',
  away: false,
  runs: 'one',
  version: 1_204,
  finished: false,
};
let startedMs = Date.now();

const noise = (n: number): number => ((Math.sin(n * 12.9898) * 43_758.5453) % 1) * 0.5;
const loss = (version: number): number =>
  0.045 + 2.2 * Math.exp(-version / 90) + 0.35 * Math.exp(-version / 900) * (1 + noise(version));
const accuracy = (version: number): number => 0.979 - 0.88 * Math.exp(-version / 160);

function mainRun(): RunStatus {
  const moved = Math.floor((Date.now() - startedMs) / 100);
  const version = scenario.finished ? STEPS_TOTAL : Math.min(STEPS_TOTAL, scenario.version + moved);
  const evaluated = Math.floor(version / STEPS_PER_EPOCH) * STEPS_PER_EPOCH;
  const finished = version === STEPS_TOTAL;
  return {
    name: 'mnist-mlp',
    title: 'MNIST perceptron',
    description:
      'Learns to read handwritten digits: 784 pixels, one hidden layer of 128 units, ten classes, 60,000 training samples.',
    owner: 'The Tabswarm project',
    link: 'https://example.org/digits',
    download: true,
    phase: finished ? 'finished' : 'running',
    version,
    steps_total: STEPS_TOTAL,
    epoch: Math.min(10, Math.floor(version / STEPS_PER_EPOCH) + 1),
    epochs: 10,
    samples_committed: version * 128,
    samples_per_s: finished ? 0 : 21_480,
    train_loss: version > 0 ? loss(version) : null,
    eval:
      evaluated > 0 ? { version: evaluated, loss: 0.09, accuracy: accuracy(evaluated) } : null,
    workers: finished ? 0 : 7,
    lanes: finished ? 0 : 19,
    parameters: 101_770,
    params_digest: 'aa'.repeat(32),
    dataset: 'bb'.repeat(32),
    classes: 10,
    input_shape: [784],
    text: false,
    examples: true,
    eta_s: finished ? null : (STEPS_TOTAL - version) / 10,
    micro_batch: 32,
    global_batch: 128,
    reproducible: true,
  };
}

function allRuns(): RunStatus[] {
  if (scenario.runs === 'none') return [];
  const main = mainRun();
  if (scenario.runs === 'one') return [main];
  const gpt: RunStatus = {
    ...main,
    name: 'char-gpt',
    title: 'Moby Dick, letter by letter',
    description: 'A small transformer learns to continue a novel.',
    phase: 'paused',
    version: 310,
    steps_total: 2_000,
    train_loss: 2.41,
    eval: null,
    eta_s: null,
    classes: 65,
    input_shape: [64],
    text: true,
    examples: false,
    reproducible: false,
  };
  return [main, gpt];
}

function historyAfter(run: RunStatus, after: number): HistoryPage {
  const page: HistoryPage = { steps: [], evals: [] };
  const stride = Math.max(1, Math.ceil((run.version - after) / 2_000));
  for (let v = after + 1; v <= run.version; v += stride) {
    page.steps.push({ version: v, train_loss: loss(v) });
  }
  if (run.eval === null) return page;
  for (let v = STEPS_PER_EPOCH; v <= run.version; v += STEPS_PER_EPOCH) {
    if (v > after) page.evals.push({ version: v, loss: 0.09, accuracy: accuracy(v) });
  }
  return page;
}

function snapshots(run: RunStatus): Snapshot[] {
  const newest = Math.floor(run.version / STEPS_PER_EPOCH);
  return Array.from({ length: Math.min(newest, 4) }, (_, idx) => {
    const version = (newest - idx) * STEPS_PER_EPOCH;
    return {
      version,
      params_digest: version.toString(16).padStart(64, '0'),
      bytes: 407_080,
      eval_accuracy: accuracy(version),
    };
  });
}

/** A hundred gray squares with their labels behind them. */
function examples(): Buffer {
  const pixels = Buffer.from(Array.from({ length: 100 * 784 }, (_, idx) => (idx % 784) % 251));
  const labels = Buffer.alloc(200);
  for (let row = 0; row < 100; row++) labels.writeUInt16LE(row % 10, row * 2);
  return Buffer.concat([pixels, labels]);
}

async function readBody(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return text;
}

async function changeScenario(request: IncomingMessage): Promise<Scenario> {
  if (request.method === 'POST') {
    Object.assign(scenario, JSON.parse(await readBody(request)));
    startedMs = Date.now();
  }
  return scenario;
}

/** The JSON value of an API path, or undefined for 404. */
function answer(url: URL): unknown {
  const [, , kind, name, part] = url.pathname.split('/');
  if (kind === 'leaders') return [{ name: 'Ada', samples: 1_204_000 }, { name: '李雷', samples: 88_310 }];
  if (kind === 'datasets') return { vocabulary: 'abc' };
  if (name === undefined) return allRuns();
  const run = allRuns().find((candidate) => candidate.name === name);
  if (run === undefined) return undefined;
  if (part === undefined) return run;
  if (part === 'history') return historyAfter(run, Number(url.searchParams.get('after') ?? 0));
  if (part === 'snapshots') return snapshots(run);
  if (part === 'run.json') return { run: { name }, data: {} };
  return undefined;
}

function sendJson(response: ServerResponse, value: unknown): void {
  response.statusCode = value === undefined ? 404 : 200;
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(value ?? { status: 404, title: 'not found' }));
}

function handler(csp: boolean): Connect.NextHandleFunction {
  return (request, response, next) => {
    const url = new URL(request.url ?? '/', 'http://mock');
    // Vite's development server injects inline styles and scripts, so only the preview is strict.
    if (csp) response.setHeader('content-security-policy', CSP);
    if (url.pathname === '/mock') {
      void changeScenario(request).then((value) => sendJson(response, value));
    } else if (!url.pathname.startsWith('/api/')) {
      next();
    } else if (scenario.away) {
      request.socket.destroy();
    } else if (url.pathname.startsWith('/api/params/')) {
      response.end(Buffer.alloc(407_080));
    } else if (url.pathname.endsWith('/examples')) {
      response.end(examples());
    } else {
      sendJson(response, answer(url));
    }
  };
}

export function mockServer(): Plugin {
  return {
    name: 'tabswarm-mock-server',
    configureServer: (server) => void server.middlewares.use(handler(false)),
    configurePreviewServer: (server) => void server.middlewares.use(handler(true)),
  };
}
