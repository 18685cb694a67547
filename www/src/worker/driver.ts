/**
 * The driver worker: loads the engine, hosts its session, and passes the page's messages on.
 *
 * The session creates one nested worker per lane through `createLane`. Whatever goes wrong here
 * for good becomes one `fatal` message; the page then ends this worker.
 */
import type { FromDriver, SessionStatus, Settings, Standing, ToDriver } from '../engine/contract.ts';
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
  die(event.error === null ? event.message || 'The engine crashed.' : describe(event.error));
});
scope.addEventListener('unhandledrejection', (event) => {
  event.preventDefault();
  die(describe(event.reason));
});

function createLane(compiled: CompiledModule, gpu: Settings['gpu']): Worker {
  const lane = new Worker(new URL('./lane.ts', import.meta.url), {
    type: 'module',
    name: 'tabswarm-lane',
  });
  lane.postMessage({ compiled, gpu });
  return lane;
}

type Ask = Extract<ToDriver, { kind: 'standing' }>;

/** Asks the server for this worker's place. Its secret stays in this worker. */
async function standing({ run, name }: Ask, token: string | undefined): Promise<void> {
  if (token === undefined) return;
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  let named: string | null = null;
  let problem: string | null = null;
  if (name !== null) {
    const response = await fetch('/api/volunteer', {
      method: 'PUT',
      headers,
      body: JSON.stringify(name),
    });
    const answer = (await response.json()) as { name?: string; detail?: string };
    if (response.ok) named = answer.name ?? null;
    else problem = answer.detail ?? `the server answered ${response.status}`;
  }
  const path = `/api/standing?run=${encodeURIComponent(run)}`;
  const response = await fetch(path, { headers });
  const found = response.ok ? ((await response.json()) as Standing) : null;
  post({ kind: 'standing', standing: found, name: named, problem });
}

async function begin(): Promise<(message: ToDriver) => void> {
  const compiled = await compile();
  const engine = await start(compiled, (message) => die(`The engine crashed: ${message}`));
  const driver = new engine.Driver(
    (gpu: Settings['gpu']) => createLane(compiled, gpu),
    (json: string) => post({ kind: 'status', status: JSON.parse(json) as SessionStatus }),
  );
  return (message) => {
    if (isDead) return;
    // Without a server there is no place to tell; the next question may find one.
    if (message.kind === 'standing') standing(message, driver.token()).catch(() => {});
    else driver.handle(message);
  };
}

// Messages that come while the engine loads wait in order.
const driver = begin();
scope.onmessage = (event: MessageEvent<ToDriver>): void => {
  driver.then((handle) => handle(event.data)).catch((error: unknown) => die(describe(error)));
};
