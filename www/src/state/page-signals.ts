/** The device's signals as signals: visibility, network and, where the platform tells, battery. */
import { signal, type Signal } from '@preact/signals';
import type { Battery } from './pause-rules.ts';

/** Chromium's Battery Status API, which TypeScript's DOM types leave out. */
interface BatteryManager extends EventTarget {
  readonly charging: boolean;
  readonly level: number;
}
type NavigatorWithBattery = Navigator & { getBattery?: () => Promise<BatteryManager> };

/** What the device tells the page. */
export interface PageSignals {
  hidden: Signal<boolean>;
  online: Signal<boolean>;
  battery: Signal<Battery | null>;
}

/** Starts listening, for as long as the page lives. */
export function watchPage(): PageSignals {
  const hidden = signal(document.visibilityState === 'hidden');
  document.addEventListener('visibilitychange', () => {
    hidden.value = document.visibilityState === 'hidden';
  });
  const online = signal(navigator.onLine);
  const readOnline = (): void => {
    online.value = navigator.onLine;
  };
  window.addEventListener('online', readOnline);
  window.addEventListener('offline', readOnline);
  const battery = signal<Battery | null>(null);
  void watchBattery(battery);
  return { hidden, online, battery };
}

async function watchBattery(battery: Signal<Battery | null>): Promise<void> {
  try {
    const manager = await (navigator as NavigatorWithBattery).getBattery?.();
    if (manager === undefined) return;
    const read = (): void => {
      battery.value = { charging: manager.charging, level: manager.level };
    };
    manager.addEventListener('chargingchange', read);
    manager.addEventListener('levelchange', read);
    read();
  } catch {
    // Refused by policy: the page then treats the device as one that does not tell.
  }
}
