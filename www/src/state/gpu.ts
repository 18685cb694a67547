/** Whether a graphics processor could help, and if not, why. */
import { signal } from '@preact/signals';

/** Why the graphics processor is not used: keys of the sentences that say so. */
export type GpuReason = 'looking' | 'missing' | 'adapter' | 'engine';

/** The part of WebGPU that is asked. */
type WithGpu = Navigator & { gpu?: { requestAdapter(): Promise<object | null> } };

/** Asks the browser once; the answer arrives in the signal. */
export function watchGpu() {
  const reason = signal<GpuReason>('looking');
  void (async () => {
    const { gpu } = navigator as WithGpu;
    if (gpu === undefined) reason.value = 'missing';
    else {
      const adapter = await gpu.requestAdapter().catch(() => null);
      reason.value = adapter === null ? 'adapter' : 'engine';
    }
  })();
  return reason;
}
