/** The leaderboard, by choice: this browser's name on it, and where the session stands. */
import { signal } from '@preact/signals';
import { fetchLeaders, forgetName } from '../api/client.ts';
import type { Leader } from '../api/types.ts';
import type { FromDriver, SessionStatus, Standing, ToDriver } from '../engine/contract.ts';
import { loadVolunteer, saveVolunteer, type KeyValue, type Volunteer } from './preferences.ts';

/** The place is asked for so often at most. */
const ASK_EVERY_MS = 10_000;

type Ask = Extract<ToDriver, { kind: 'standing' }>;
type Answer = Extract<FromDriver, { kind: 'standing' }>;

/** 256 random bits in hexadecimal form. */
function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export class Membership {
  readonly volunteer = signal<Volunteer | null>(null);
  readonly standing = signal<Standing | null>(null);
  /** The name under which this session is on the board. */
  readonly named = signal<string | null>(null);
  readonly problem = signal<string | null>(null);
  readonly leaders = signal<readonly Leader[] | null>(null);
  readonly leadersFailed = signal(false);
  readonly #storage: KeyValue | null;
  readonly #ask: (ask: Ask) => void;
  #askedMs = 0;

  constructor(storage: KeyValue | null, ask: (ask: Ask) => void) {
    this.#storage = storage;
    this.#ask = ask;
    this.volunteer.value = loadVolunteer(storage);
  }

  /** A session begins, which is nobody's yet. */
  begin(): void {
    this.standing.value = null;
    this.named.value = null;
    this.#askedMs = 0;
  }

  /** Asks for the place now and then, once there is credit; puts the name on the board before. */
  note({ run, samples_credited, state }: SessionStatus, nowMs: number): void {
    if (run === null || samples_credited === 0 || state === 'stopped') return;
    if (nowMs - this.#askedMs < ASK_EVERY_MS) return;
    this.#askedMs = nowMs;
    const unnamed = this.named.value === null && this.problem.value === null;
    this.#ask({ kind: 'standing', run, name: unnamed ? this.volunteer.value : null });
  }

  answered({ standing, name, problem }: Answer): void {
    if (standing !== null) this.standing.value = standing;
    if (name !== null) this.named.value = name;
    if (problem !== null) this.problem.value = problem;
  }

  /** Chooses a name; the session, if there is one with credit, is put on the board at once. */
  join(name: string): void {
    const volunteer = { key: this.volunteer.value?.key ?? newKey(), name };
    this.volunteer.value = volunteer;
    this.named.value = null;
    this.problem.value = null;
    this.#askedMs = 0;
    saveVolunteer(this.#storage, volunteer);
  }

  /** Takes the name off the board and forgets the key. */
  async leave(): Promise<void> {
    const volunteer = this.volunteer.value;
    if (volunteer === null) return;
    await forgetName(volunteer.key);
    this.volunteer.value = null;
    this.named.value = null;
    this.problem.value = null;
    saveVolunteer(this.#storage, null);
  }

  /** Reads the board. */
  async refresh(run: string): Promise<void> {
    try {
      this.leaders.value = await fetchLeaders(run);
      this.leadersFailed.value = false;
    } catch {
      this.leadersFailed.value = true;
    }
  }
}
