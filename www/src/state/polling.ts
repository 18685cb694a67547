/** When to ask the server again: every second in view, rarely out of view, ever rarer when away. */

const VISIBLE_MS = 1_000;
const HIDDEN_MS = 5_000;
const BACKOFF_MAX_MS = 30_000;

/** The wait before the next poll. `random` in 0..1 spreads the tabs that a restart cut off. */
export function pollDelayMs(hidden: boolean, failures: number, random: number): number {
  const base = hidden ? HIDDEN_MS : VISIBLE_MS;
  if (failures === 0) return base;
  const ceiling = Math.min(BACKOFF_MAX_MS, VISIBLE_MS * 2 ** Math.min(failures, 10));
  return Math.max(base, Math.round(ceiling * (0.5 + 0.5 * random)));
}

/** What a poller tells its owner. */
export interface PollEvents {
  /** One round; a rejection counts as the server being away. */
  poll(): Promise<void>;
  /** A round ended: how many failed in a row, and when the next one starts. */
  settled(failures: number, nextAtMs: number): void;
}

/** Polls one round at a time, for as long as the page lives. */
export class Poller {
  readonly #events: PollEvents;
  #failures = 0;
  #hidden = false;
  #polling = false;
  #again = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(events: PollEvents) {
    this.#events = events;
  }

  /** Polls now; if a round is under way, another follows it at once. */
  now(): void {
    clearTimeout(this.#timer);
    if (this.#polling) this.#again = true;
    else void this.#round();
  }

  /** Changes the pace; a page that comes into view is brought up to date at once. */
  setHidden(hidden: boolean): void {
    if (this.#hidden === hidden) return;
    this.#hidden = hidden;
    if (!hidden) this.now();
  }

  async #round(): Promise<void> {
    this.#polling = true;
    this.#again = false;
    try {
      await this.#events.poll();
      this.#failures = 0;
    } catch {
      // The owner shows the failure through `settled`; the next round is the remedy.
      this.#failures += 1;
    }
    this.#polling = false;
    const delay = this.#again ? 0 : pollDelayMs(this.#hidden, this.#failures, Math.random());
    this.#events.settled(this.#failures, Date.now() + delay);
    this.#timer = setTimeout(() => void this.#round(), delay);
  }
}
