// Waiting for a state instead of for a time.
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Asks `probe` until it returns something truthy, and returns that. Fails after `limit_ms`
 * with what was awaited and, from `explain`, how things stand.
 */
export async function until(what, limit_ms, probe, explain = () => '') {
  const deadline = performance.now() + limit_ms;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (performance.now() > deadline) {
      throw new Error(`after ${limit_ms} ms still waiting for ${what} ${await explain()}`.trim());
    }
    await sleep(50);
  }
}
