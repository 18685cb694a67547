// Child processes with a log file, which never outlive the tests.
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';

const GRACE_MS = 15_000;
const TAIL_LINES = 20;
const running = new Set();

process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});
for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143], ['SIGHUP', 129]]) {
  process.on(signal, () => process.exit(code));
}

/** A running program. `exited` resolves to `{ code, signal }`. */
export class Program {
  constructor(name, binary, args, { log, env = {} }) {
    this.name = name;
    this.log = log;
    const output = openSync(log, 'w');
    this.child = spawn(binary, args, {
      stdio: ['ignore', output, output],
      env: { ...process.env, ...env },
    });
    closeSync(output);
    running.add(this.child);
    this.ended = null;
    this.exited = new Promise((resolve) => {
      const end = (ended) => {
        running.delete(this.child);
        this.ended = ended;
        resolve(ended);
      };
      this.child.on('exit', (code, signal) => end({ code, signal }));
      this.child.on('error', (error) => end({ code: null, signal: null, error }));
    });
  }

  /** The end of the log, for messages. */
  tail() {
    const lines = readFileSync(this.log, 'utf8').trimEnd().split('\n');
    return `${this.name}, the end of ${this.log}:\n${lines.slice(-TAIL_LINES).join('\n')}`;
  }

  /** Dies at once, as in a power cut. */
  async kill() {
    this.child.kill('SIGKILL');
    await this.exited;
  }

  /** Ends politely, and by force if that does not help: then it is a fault. */
  async stop() {
    if (this.ended !== null) return;
    this.child.kill('SIGTERM');
    const timer = setTimeout(() => this.child.kill('SIGKILL'), GRACE_MS);
    const { signal } = await this.exited;
    clearTimeout(timer);
    if (signal === 'SIGKILL') {
      throw new Error(`${this.name} did not end within ${GRACE_MS} ms; ${this.tail()}`);
    }
  }
}
