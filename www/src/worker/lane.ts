/**
 * A lane worker: its own instance of the engine's module, fed by the driver.
 *
 * The first message is the compiled module; every later one is for the engine and understood by
 * it alone. Whatever is thrown here reaches the driver as this worker's death.
 */
import { describe, start } from './module.ts';
import type { CompiledModule } from './module.ts';

const scope = self as unknown as DedicatedWorkerGlobalScope;

async function begin(compiled: CompiledModule): Promise<(message: unknown) => void> {
  let panic: string | null = null;
  const engine = await start(compiled, (message) => {
    panic = message;
  });
  const lane = new engine.Lane();
  return (message) => {
    try {
      lane.handle(message);
    } catch (error) {
      // A panic ends the module with an error that says nothing of it.
      throw new Error(panic ?? describe(error));
    }
  };
}

scope.onmessage = (first: MessageEvent<CompiledModule>): void => {
  // What the driver sends while the engine starts waits in order.
  const waiting: unknown[] = [];
  scope.onmessage = (event) => waiting.push(event.data);
  begin(first.data)
    .then((handle) => {
      scope.onmessage = (event) => handle(event.data);
      waiting.forEach(handle);
    })
    .catch((error: unknown) => {
      // A rejection that nobody handles would stay in this worker; an uncaught error does not.
      setTimeout(() => {
        throw new Error(describe(error));
      });
    });
};
