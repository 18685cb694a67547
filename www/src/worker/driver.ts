/**
 * The driver worker: loads the engine, hosts its session, and passes the page's messages on.
 *
 * The session creates one nested worker per lane through `createLane`. Whatever goes wrong here
 * for good becomes one `fatal` message; the page then ends this worker.
 */
import type { FromDriver, SessionStatus, ToDriver } from '../engine/contract.ts';
import { compile, describe, start } from './module.ts';
import type { CompiledModule } from './module.ts';

const scope = self as unknown as DedicatedWorkerGlobalScope;
let isDead = false;

const post = (message: FromDriver): void => {
  if (!isDead) scope.postMessage(message);
};

function die(message: string): void {
  post({ kind: 'fatal', message });
  isDead = true;
}

// Errors in the engine's own callbacks end up here. A panic has said more before.
scope.addEventListener('error', (event) => {
  event.preventDefault();
  die(event.message || 'The engine crashed.');
});
scope.addEventListener('unhandledrejection', (event) => {
  event.preventDefault();
  die(describe(event.reason));
});

function createLane(compiled: CompiledModule): Worker {
  const lane = new Worker(new URL('./lane.ts', import.meta.url), {
    type: 'module',
    name: 'tabswarm-lane',
  });
  lane.postMessage(compiled);
  return lane;
}

async function begin(): Promise<(message: ToDriver) => void> {
  const compiled = await compile();
  const engine = await start(compiled, (message) => die(`The engine crashed: ${message}`));
  const driver = new engine.Driver(
    () => createLane(compiled),
    (json: string) => post({ kind: 'status', status: JSON.parse(json) as SessionStatus }),
  );
  return (message) => {
    if (!isDead) driver.handle(message);
  };
}

// Messages that come while the engine loads wait in order.
const driver = begin();
scope.onmessage = (event: MessageEvent<ToDriver>): void => {
  driver.then((handle) => handle(event.data)).catch((error: unknown) => die(describe(error)));
};
