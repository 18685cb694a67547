/** The console's single store: what the server says, asked for again and again, and the operator's orders. */
import { batch, computed, effect, signal, untracked } from '@preact/signals';
import { EMPTY_HISTORY, historyCursor, mergeHistory, wentBack, type History } from '../state/history.ts';
import { Poller } from '../state/polling.ts';
import { AdminApi, Refusal } from './api.ts';
import { firstPages, PAGES_MAX, type Page } from './pages.ts';
import { placeOf, type Place } from './place.ts';
import type {
  AdminRun,
  BanRow,
  EventRow,
  Health,
  IssuedToken,
  RunVerb,
  Scope,
  SnapshotRow,
  TokenRow,
  Validation,
  Version,
  Work,
  WorkerRow,
} from './types.ts';

const TOKEN_KEY = 'tabswarm.console.token';
/** Older events are asked for with the program. */
const EVENTS_KEPT = 1_000;

/** The server reads its log for the list of versions, so it is not asked every second. */
const FILES_EVERY_MS = 10_000;

/** What is read for the page of one run beyond its status. */
export interface RunFiles {
  versions: Version[];
  snapshots: SnapshotRow[];
}

/** Lists that come in pages. */
export type Paged = 'workers' | 'bans' | 'tokens';

const ONE_PAGE: Readonly<Record<Paged, number>> = { workers: 1, bans: 1, tokens: 1 };

class ConsoleStore {
  readonly place = signal<Place>(placeOf(location.hash));
  /** Null where nobody has signed in. */
  readonly api = signal<AdminApi | null>(null);
  readonly signInProblem = signal<string | null>(null);
  readonly runs = signal<readonly AdminRun[] | null>(null);
  readonly health = signal<Health | null>(null);
  readonly workers = signal<Page<WorkerRow, string> | null>(null);
  readonly bans = signal<Page<BanRow, string> | null>(null);
  readonly tokens = signal<Page<TokenRow, number> | null>(null);
  /** So many pages of each list are shown. */
  readonly pages = signal<Readonly<Record<Paged, number>>>(ONE_PAGE);
  /** What is being worked on of the run whose page is shown. */
  readonly work = signal<Work | null>(null);
  readonly events = signal<readonly EventRow[] | null>(null);
  readonly histories = signal<ReadonlyMap<string, History>>(new Map());
  readonly files = signal<RunFiles | null>(null);
  readonly away = signal(false);
  /** What the server said to the last order that it did not take. */
  readonly problem = signal<string | null>(null);
  /** Why what the page shows can't be read, while it can't. */
  readonly refusal = signal<string | null>(null);
  readonly run = computed(() => {
    const place = this.place.value;
    if (!('run' in place)) return null;
    return this.runs.value?.find(({ name }) => name === place.run) ?? null;
  });
  readonly #poller: Poller;
  #newestEvent: number | null = null;
  #filesAtMs = 0;

  constructor() {
    this.#poller = new Poller({
      poll: () => this.#poll(),
      settled: (failures) => {
        this.away.value = failures > 0;
      },
    });
    window.addEventListener('hashchange', () => {
      batch(() => {
        this.place.value = placeOf(location.hash);
        this.problem.value = null;
        this.refusal.value = null;
        this.pages.value = ONE_PAGE;
        this.files.value = null;
        this.work.value = null;
      });
    });
    document.addEventListener('visibilitychange', () => {
      this.#poller.setHidden(document.visibilityState === 'hidden');
    });
    const remembered = read();
    if (remembered !== null) this.api.value = new AdminApi(remembered);
    effect(() => {
      void this.place.value;
      if (this.api.value !== null) untracked(() => this.#poller.now());
    });
  }

  /** Tries a token, and keeps it for this tab if it is one. */
  async signIn(token: string): Promise<void> {
    const api = new AdminApi(token);
    this.signInProblem.value = null;
    try {
      await api.health();
    } catch (error) {
      this.signInProblem.value = messageOf(error);
      return;
    }
    write(token);
    this.api.value = api;
  }

  /** Forgets the token and all that it brought. */
  signOut(): void {
    write(null);
    this.#newestEvent = null;
    batch(() => {
      this.api.value = null;
      this.runs.value = null;
      this.health.value = null;
      this.workers.value = null;
      this.bans.value = null;
      this.tokens.value = null;
      this.pages.value = ONE_PAGE;
      this.work.value = null;
      this.problem.value = null;
      this.refusal.value = null;
      this.events.value = null;
      this.files.value = null;
      this.histories.value = new Map();
    });
  }

  /** Tells a run what to do. */
  order(run: string, verb: RunVerb): Promise<boolean> {
    return this.#try((api) => api.order(run, verb));
  }

  /** Takes a paused run back. */
  rollBack(run: string, to: number): Promise<boolean> {
    return this.#try((api) => api.rollBack(run, to));
  }

  /** Begins another run where this one was. */
  fork(run: string, name: string, at: number): Promise<boolean> {
    return this.#try((api) => api.fork(run, name, at));
  }

  /** Gives a run other settings. */
  change(run: string, toml: string): Promise<boolean> {
    return this.#try((api) => api.change(run, toml));
  }

  /** The run file that holds now; null with `problem` set. */
  settings(run: string): Promise<string | null> {
    return this.#ask((api) => api.settings(run));
  }

  /** Whether a text is a run file; null where nobody answers. Asked while typing, so that there are no complaints. */
  async validate(toml: string): Promise<Validation | null> {
    try {
      return (await this.api.value?.validate(toml)) ?? null;
    } catch {
      return null;
    }
  }

  /** Keeps a snapshot until it is unpinned, or does not. */
  pin(run: string, version: number, pinned: boolean): Promise<boolean> {
    return this.#try((api) => api.pin(run, version, pinned));
  }

  /** Deletes a snapshot. */
  deleteSnapshot(run: string, version: number): Promise<boolean> {
    return this.#try((api) => api.deleteSnapshot(run, version));
  }

  /** A snapshot's file; null with `problem` set. */
  snapshot(run: string, version: number): Promise<Blob | null> {
    return this.#ask((api) => api.snapshot(run, version));
  }

  /** Issues a token, which is shown once; null with `problem` set. */
  issue(label: string, scope: Scope, expiresInS: number | null): Promise<IssuedToken | null> {
    return this.#ask((api) => api.issue(label, scope, expiresInS));
  }

  /** Makes a token void. */
  revoke(id: number): Promise<boolean> {
    return this.#try((api) => api.revoke(id));
  }

  /** Keeps an identity out. */
  ban(identity: string, reason: string, lastsS: number | null): Promise<boolean> {
    return this.#try((api) => api.ban(identity, reason, lastsS));
  }

  /** Lets an identity in again. */
  unban(identity: string): Promise<boolean> {
    return this.#try((api) => api.unban(identity));
  }

  /** Shows one more page of a list. */
  more(list: Paged): void {
    const pages = this.pages.value;
    this.pages.value = { ...pages, [list]: Math.min(pages[list] + 1, PAGES_MAX) };
    this.#poller.now();
  }

  /** Makes a run of a run file; its name, or null with `problem` set. */
  async create(toml: string, start: boolean): Promise<string | null> {
    const created = await this.#ask((api) => api.create(toml, start));
    return created?.name ?? null;
  }

  async #ask<T>(ask: (api: AdminApi) => Promise<T>): Promise<T | null> {
    let answer: T | null = null;
    await this.#try(async (api) => {
      answer = await ask(api);
    });
    return answer;
  }

  async #try(act: (api: AdminApi) => Promise<unknown>): Promise<boolean> {
    const api = this.api.value;
    if (api === null) return false;
    this.problem.value = null;
    try {
      await act(api);
    } catch (error) {
      this.problem.value = messageOf(error);
      return false;
    }
    this.#filesAtMs = 0;
    this.#poller.now();
    return true;
  }

  async #poll(): Promise<void> {
    const api = this.api.value;
    if (api === null) return;
    try {
      const [runs, health] = await Promise.all([api.runs(), api.health()]);
      // Somebody may have signed out meanwhile.
      if (this.api.value !== api) return;
      batch(() => {
        this.runs.value = runs;
        this.health.value = health;
      });
      await this.#pollPlaceOrSay(api, runs);
    } catch (error) {
      if (!(error instanceof Refusal) || error.status !== 401) throw error;
      // It was revoked, or the server has another one now.
      this.signOut();
      this.signInProblem.value = error.message;
    }
  }

  /** What is refused to this token, or not available now, is no reason to call the server away. */
  async #pollPlaceOrSay(api: AdminApi, runs: readonly AdminRun[]): Promise<void> {
    try {
      await this.#pollPlace(api, runs);
      this.refusal.value = null;
    } catch (error) {
      if (!(error instanceof Refusal) || error.status === 401) throw error;
      this.refusal.value = error.message;
    }
  }

  async #pollPlace(api: AdminApi, runs: readonly AdminRun[]): Promise<void> {
    const place = this.place.value;
    if (place.page === 'workers') {
      this.workers.value = await firstPages((after) => api.workers(after), this.pages.value.workers);
      this.bans.value = await firstPages((after) => api.bans(after), this.pages.value.bans);
    }
    if (place.page === 'tokens') {
      this.tokens.value = await firstPages((after) => api.tokens(after), this.pages.value.tokens);
    }
    if (place.page === 'events') await this.#pollEvents(api);
    if (place.page === 'overview') await Promise.all(runs.map((run) => this.#pollHistory(api, run)));
    const run = this.run.value;
    if (place.page !== 'run' || run === null) return;
    await this.#pollHistory(api, run);
    const work = await api.work(run.name);
    if (this.run.value?.name !== run.name) return;
    this.work.value = work;
    if (this.files.value !== null && Date.now() - this.#filesAtMs < FILES_EVERY_MS) return;
    const [versions, snapshots] = await Promise.all([api.versions(run.name), api.snapshots(run.name)]);
    this.#filesAtMs = Date.now();
    this.files.value = { versions: [...versions].reverse(), snapshots };
  }

  async #pollEvents(api: AdminApi): Promise<void> {
    const { events, newest } = await api.events(this.#newestEvent);
    this.#newestEvent = newest;
    this.events.value = [...[...events].reverse(), ...(this.events.value ?? [])].slice(0, EVENTS_KEPT);
  }

  async #pollHistory(api: AdminApi, { name, version, eval: evaluation }: AdminRun): Promise<void> {
    let history = this.histories.value.get(name) ?? EMPTY_HISTORY;
    if (wentBack(history, version)) history = EMPTY_HISTORY;
    const cursor = historyCursor(history, evaluation?.version ?? null);
    if (version > cursor) history = mergeHistory(history, await api.history(name, cursor));
    if (history !== this.histories.value.get(name)) {
      this.histories.value = new Map(this.histories.value).set(name, history);
    }
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function read(): string | null {
  try {
    return sessionStorage.getItem(TOKEN_KEY);
  } catch {
    return null;
  }
}

function write(token: string | null): void {
  try {
    if (token === null) sessionStorage.removeItem(TOKEN_KEY);
    else sessionStorage.setItem(TOKEN_KEY, token);
  } catch {
    // Without a storage it holds until the page is left.
  }
}

export const store = new ConsoleStore();
