/** Keeps the screen awake while the device computes, if the volunteer wants that. */

/** True where the browser lets pages ask for it. */
export const canStayAwake = 'wakeLock' in navigator;

/** Holds the lock as long as it is wanted. Browsers drop it with every hiding of the page. */
export class Awake {
  #lock: WakeLockSentinel | null = null;
  #wanted = false;

  constructor() {
    document.addEventListener('visibilitychange', () => void this.#settle());
  }

  set(wanted: boolean): void {
    if (this.#wanted === wanted) return;
    this.#wanted = wanted;
    void this.#settle();
  }

  async #settle(): Promise<void> {
    try {
      if (this.#wanted && canStayAwake && document.visibilityState === 'visible') {
        if (this.#lock === null || this.#lock.released) {
          this.#lock = await navigator.wakeLock.request('screen');
        }
        if (this.#wanted) return;
      }
      if (!this.#wanted) {
        await this.#lock?.release();
        this.#lock = null;
      }
    } catch {
      // A low battery refuses it, for instance: the work goes on without.
    }
  }
}
