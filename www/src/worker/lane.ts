/**
 * A lane worker: its own instance of the engine's module, fed by the driver.
 *
 * The first message is the compiled module and whether the lane may use the graphics processor;
 * every later one is for the engine and understood by it alone. Whatever is thrown here reaches the
 * driver as this worker's death.
 */
import type { Settings } from '../engine/contract.ts';
import { describe, start, startGpu } from './module.ts';
import type { CompiledModule } from './module.ts';

const scope = self as unknown as DedicatedWorkerGlobalScope;

interface First {
  compiled: CompiledModule;
  gpu: Settings['gpu'];
}

type Handle = (message: unknown) => void;

/** Errors that nobody catches, unlike rejections, do not stay in this worker. */
function raise(error: Error): void {
  setTimeout(() => {
    throw error;
  });
}

let panic: string | null = null;
const notePanic = (message: string): void => {
  panic = message;
};
/** A panic ends the module with an error that says nothing of it. */
const cause = (error: unknown): Error => new Error(panic ?? describe(error));

async function begin(compiled: CompiledModule): Promise<Handle> {
  const engine = await start(compiled, notePanic);
  const lane = new engine.Lane();
  return (message) => {
    try {
      lane.handle(message);
    } catch (error) {
      throw cause(error);
    }
  };
}

/** A lane with the graphics processor answers later; it takes one message after the other. */
async function beginGpu(isForced: boolean): Promise<Handle> {
  const engine = await startGpu(notePanic);
  const lane = new engine.GpuLane(isForced);
  let last: Promise<unknown> = Promise.resolve();
  return (message) => {
    last = last.then(() => lane.handle(message)).catch((error: unknown) => raise(cause(error)));
  };
}

scope.onmessage = (first: MessageEvent<First>): void => {
  // What the driver sends while the engine starts waits in order.
  const waiting: unknown[] = [];
  scope.onmessage = (event) => waiting.push(event.data);
  const { compiled, gpu } = first.data;
  // Where the larger module does not load, the other one does the work.
  const begun =
    gpu === 'off' ? begin(compiled) : beginGpu(gpu === 'always').catch(() => begin(compiled));
  begun
    .then((handle) => {
      scope.onmessage = (event) => handle(event.data);
      waiting.forEach(handle);
    })
    .catch((error: unknown) => raise(cause(error)));
};
