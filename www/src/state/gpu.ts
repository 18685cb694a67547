/** Whether a graphics processor could help, and if not, why. */
import { signal } from '@preact/signals';
import type { Settings } from '../engine/contract.ts';

/** What is known of it: keys of the sentences that say so. */
export type GpuReason = 'looking' | 'missing' | 'adapter' | 'software' | 'ready';

/** The part of WebGPU that is asked. */
type Adapter = { info?: { isFallbackAdapter?: boolean } };
type WithGpu = Navigator & { gpu?: { requestAdapter(): Promise<Adapter | null> } };

/** Asks the browser once; the answer arrives in the signal. */
export function watchGpu() {
  const reason = signal<GpuReason>('looking');
  void (async () => {
    const { gpu } = navigator as WithGpu;
    if (gpu === undefined) {
      reason.value = 'missing';
      return;
    }
    const adapter = await gpu.requestAdapter().catch(() => null);
    if (adapter === null) reason.value = 'adapter';
    else reason.value = adapter.info?.isFallbackAdapter === true ? 'software' : 'ready';
  })();
  return reason;
}

/** What the engine may use of what was wished: one made of software only where that is asked for. */
export function allowedGpu(wish: Settings['gpu'], reason: GpuReason): Settings['gpu'] {
  if (reason === 'ready') return wish;
  return reason === 'software' && wish === 'always' ? wish : 'off';
}
