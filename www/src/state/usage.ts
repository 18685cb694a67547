/** Bytes of the day, over all tabs and sessions of this browser. */
import { signal } from '@preact/signals';
import { addUsage, loadUsage, type KeyValue } from './preferences.ts';

/** Less than this is not worth a write. */
const WRITE_BYTES = 100_000;

/** The calendar day where the device is. */
export function dayOf(time: Date): string {
  return `${time.getFullYear()}-${time.getMonth() + 1}-${time.getDate()}`;
}

export class Usage {
  readonly today;
  readonly #storage: KeyValue | null;
  #day = dayOf(new Date());
  /** Of the session, as noted. */
  #seen = 0;
  #unwritten = 0;

  constructor(storage: KeyValue | null) {
    this.#storage = storage;
    this.today = signal(loadUsage(storage, this.#day).bytes);
    window.addEventListener('pagehide', () => this.#write());
  }

  /** A session begins, and counts from nothing. */
  begin(): void {
    this.#seen = 0;
  }

  /** The session has used so many bytes since it began. */
  note(bytes: number): void {
    const fresh = Math.max(0, bytes - this.#seen);
    this.#seen = bytes;
    const day = dayOf(new Date());
    if (day !== this.#day) {
      this.#write();
      this.#day = day;
      this.today.value = loadUsage(this.#storage, day).bytes;
    }
    if (fresh === 0) return;
    this.#unwritten += fresh;
    this.today.value += fresh;
    if (this.#unwritten >= WRITE_BYTES) this.#write();
  }

  #write(): void {
    if (this.#unwritten === 0) return;
    const { bytes } = addUsage(this.#storage, this.#day, this.#unwritten);
    // Without a storage the sum is what this tab has seen.
    this.today.value = Math.max(this.today.value, bytes);
    this.#unwritten = 0;
  }
}
