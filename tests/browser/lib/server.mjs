// A real server with its own data, and workers for it.
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { DATASETS, FIXTURES, RESULTS, SERVER_BIN, WORKER_BIN } from './environment.mjs';
import { Program } from './processes.mjs';
import { until } from './wait.mjs';

const START_LIMIT_MS = 60_000;
/** Creating a run cuts its data set into chunks and compresses them, slowly in a debug build. */
const CREATE_LIMIT_MS = 300_000;

/** A port that was free a moment ago. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

/** One server with one run, alone in a folder of the results. */
export class Server {
  /**
   * Starts a server in the folder `name`, creates the run of the file `fixture` there and
   * starts it. Everything ends with the test `t`. `args` are more options of the server.
   */
  static async start(t, name, fixture, ...args) {
    const folder = join(RESULTS, name);
    mkdirSync(folder, { recursive: true });
    const [port, adminPort] = [await freePort(), await freePort()];
    const token = randomBytes(32).toString('hex');
    const launch = (log) =>
      new Program(
        `server of ${name}`,
        SERVER_BIN,
        [
          'serve',
          ...['--listen', `127.0.0.1:${port}`, '--admin-listen', `127.0.0.1:${adminPort}`],
          ...['--data-dir', join(folder, 'data'), '--datasets-dir', DATASETS],
          ...args,
        ],
        { log: join(folder, log), env: { TABSWARM_ADMIN_TOKEN: token } },
      );
    const server = new Server(t, folder, `http://127.0.0.1:${port}`, `http://127.0.0.1:${adminPort}`, token, launch('server.log'));
    server.launch = launch;
    t.after(() => server.program.stop());
    await server.#untilHealthy();
    await server.createRun(fixture);
    server.run = (await server.#json('/api/runs'))[0].name;
    return server;
  }

  constructor(t, folder, origin, admin, token, program) {
    this.t = t;
    this.folder = folder;
    this.origin = origin;
    this.admin = admin;
    this.token = token;
    this.program = program;
    this.nWorkers = 0;
    this.run = null;
  }

  async #untilHealthy() {
    await until(
      'the server',
      START_LIMIT_MS,
      async () => {
        if (this.program.ended !== null) throw new Error(this.program.tail());
        return fetch(`${this.origin}/healthz`).then((answer) => answer.ok, () => false);
      },
      () => this.program.tail(),
    );
  }

  /** Creates the run of a file among the fixtures and starts it. */
  async createRun(fixture) {
    const body = readFileSync(join(FIXTURES, fixture), 'utf8');
    const answer = await fetch(`${this.admin}/admin/runs?start=true`, {
      method: 'POST',
      headers: { authorization: `Bearer ${this.token}`, 'content-type': 'application/toml' },
      body,
      signal: AbortSignal.timeout(CREATE_LIMIT_MS),
    });
    if (!answer.ok) throw new Error(`${fixture} was not created: ${await answer.text()}`);
  }

  async #json(path) {
    const answer = await fetch(this.origin + path);
    if (!answer.ok) throw new Error(`GET ${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  }

  /** Tells the run to `pause`, `resume` or `stop`, as its operator. */
  async operate(verb) {
    const answer = await fetch(`${this.admin}/admin/runs/${this.run}/${verb}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${this.token}` },
    });
    if (!answer.ok) throw new Error(`the run did not ${verb}: ${await answer.text()}`);
  }

  /** Starts it again on its data and ports after it was killed. */
  async restart() {
    this.program = this.launch('server-again.log');
    await this.#untilHealthy();
  }

  /** The run's status. */
  status() {
    return this.#json(`/api/runs/${this.run}`);
  }

  /** A native worker on the run; it ends by itself when the run is finished. */
  addWorker(...options) {
    const run = options.includes('--run') ? [] : ['--run', this.run];
    this.nWorkers += 1;
    const name = `worker-${this.nWorkers}`;
    const worker = new Program(
      name,
      WORKER_BIN,
      ['--server', this.origin, ...run, '--exit-when-done', ...options],
      { log: join(this.folder, `${name}.log`) },
    );
    this.t.after(() => worker.stop());
    return worker;
  }

  /** Waits until the run's status satisfies `condition`. */
  untilStatus(what, limit_ms, condition) {
    let last = null;
    return until(
      what,
      limit_ms,
      async () => {
        last = await this.status();
        return condition(last) ? last : null;
      },
      () => `— the run's status is ${JSON.stringify(last)}; ${this.program.tail()}`,
    );
  }

  /** Waits for the end and the evaluation of the final parameters. */
  untilFinished(limit_ms) {
    return this.untilStatus(
      'the end of the run',
      limit_ms,
      ({ phase, version, eval: evaluation }) =>
        phase === 'finished' && evaluation !== null && evaluation.version === version,
    );
  }
}
