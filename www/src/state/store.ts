/**
 * The page's single store: every signal that components read and every action that they call.
 * Decisions live in the pure modules beside it; this file only wires them to the clock, the
 * network, the storage and the engine's worker.
 */
import { batch, computed, effect, signal, untracked, type ReadonlySignal } from '@preact/signals';
import { ApiError, fetchHistory, fetchRun, fetchRuns } from '../api/client.ts';
import type { RunStatus } from '../api/types.ts';
import { DriverClient } from '../engine/client.ts';
import type { Settings, ToDriver } from '../engine/contract.ts';
import { htmlLanguage, language, preferredLanguage, type Language } from '../language.ts';
import { texts } from '../texts.ts';
import { Awake } from './awake.ts';
import { describe, type Description } from './describe.ts';
import { Desk } from './desk.ts';
import { Gallery } from './gallery.ts';
import { allowedGpu, watchGpu } from './gpu.ts';
import { EMPTY_HISTORY, historyCursor, mergeHistory, wentBack, type History } from './history.ts';
import { watchPage } from './page-signals.ts';
import { pauseMessage, pauseReason } from './pause-rules.ts';
import { Playground } from './playground.ts';
import { Poller } from './polling.ts';
import {
  browserStorage,
  loadConsent,
  loadPreferences,
  saveConsent,
  savePreferences,
  type Consent,
  type Preferences,
} from './preferences.ts';
import { isActive, READY_SESSION, reduceSession, type SessionEvent } from './session.ts';
import { Usage } from './usage.ts';
import { watchView } from './view.ts';
import { Membership } from './membership.ts';

/** The list of runs changes rarely: it is read once in this many rounds. */
const ROUNDS_PER_LISTING = 10;
/** Finishing waits this long for the last update to be handed in. */
const FINISH_LIMIT_MS = 15_000;

/** How the connection chip reads. */
export type Connection = 'joined' | 'ready' | 'asking' | 'reconnecting' | 'offline';

class VolunteerStore {
  /** Logical cores; browsers that hide the number count as having two. */
  readonly cores = Math.max(1, navigator.hardwareConcurrency || 2);
  readonly #storage = browserStorage(document.documentElement.dataset['scope']);

  readonly page = watchPage();
  readonly preferences = signal<Preferences>(loadPreferences(this.#storage, this.cores));
  readonly consent = signal<Consent>(loadConsent(this.#storage));
  readonly consented = computed(() => this.consent.value === 'given');
  /** The visitor does not want to contribute now, and looks around. */
  readonly declined = signal(false);
  /** False once the browser did not keep something: a private window, or no room. */
  readonly remembers = signal(this.#storage !== null);
  readonly view = watchView();
  readonly gpu = watchGpu();
  readonly usage = new Usage(this.#storage);
  readonly membership = new Membership(this.#storage, (ask) => this.#send(ask));
  readonly #awake = new Awake();

  readonly session = signal(READY_SESSION);
  readonly userPaused = signal(false);
  readonly finishing = signal(false);
  readonly #batteryOverride = signal(false);
  #driver: DriverClient | null = null;
  #finishTimer: ReturnType<typeof setTimeout> | undefined;

  readonly runs = signal<readonly RunStatus[]>([]);
  readonly selected = signal<string | null>(new URLSearchParams(location.search).get('run'));
  readonly history = signal<History>(EMPTY_HISTORY);
  readonly server = signal({ known: false, failures: 0, nextAtMs: 0 });
  readonly #poller: Poller;
  #rounds = 0;

  readonly run: ReadonlySignal<RunStatus | null> = computed(
    () => this.runs.value.find((run) => run.name === this.selected.value) ?? null,
  );
  readonly playground = new Playground(this.run);
  readonly gallery = new Gallery();
  readonly desk = new Desk();

  readonly description: ReadonlySignal<Description> = computed(() =>
    describe({
      session: this.session.value,
      run: this.run.value,
      userPaused: this.userPaused.value,
      finishing: this.finishing.value,
      server: this.server.value,
    }),
  );

  readonly connection: ReadonlySignal<Connection> = computed(() => {
    if (!this.page.online.value) return 'offline';
    const { phase, status } = this.session.value;
    if (phase === 'live' && status !== null) {
      if (status.state === 'backoff') return 'reconnecting';
      return status.state === 'connecting' || status.state === 'joining' ? 'asking' : 'joined';
    }
    const { known, failures } = this.server.value;
    if (failures > 0) return 'offline';
    return known ? 'ready' : 'asking';
  });

  /** The settings as the engine gets them: without a graphics processor that there is not. */
  readonly #allowed = computed((): Settings => {
    const { settings } = this.preferences.value;
    return { ...settings, gpu: allowedGpu(settings.gpu, this.gpu.value) };
  });

  readonly #pauseReason = computed(() =>
    pauseReason({
      userPaused: this.userPaused.value,
      hidden: this.page.hidden.value,
      battery: this.page.battery.value,
      pauseWhenHidden: this.preferences.value.pauseWhenHidden,
      pauseOnBattery: this.preferences.value.pauseOnBattery,
      batteryFloor: this.preferences.value.batteryFloor,
      bytesToday: this.usage.today.value,
      bytesMax: this.#bytesMax,
      batteryOverride: this.#batteryOverride.value,
    }),
  );

  constructor() {
    this.#poller = new Poller({
      poll: () => this.#poll(),
      settled: (failures, nextAtMs) => {
        this.server.value = { known: this.server.value.known || failures === 0, failures, nextAtMs };
      },
    });
    this.#watchRules();
    effect(() => applyTheme(this.preferences.value.theme));
    effect(() => applyLanguage(this.preferences.value.language));
    effect(() => {
      const computing = this.session.value.status?.state === 'computing';
      this.#awake.set(this.preferences.value.keepAwake && computing && isActive(this.session.value));
    });
    effect(() => this.#poller.setHidden(this.page.hidden.value));
    effect(() => {
      // The list is as old as its last round until then.
      if (this.view.value === 'runs') untracked(() => this.#poller.now());
    });
    this.#poller.now();
  }

  /** Remembers the consent. Nothing starts yet. */
  acceptConsent(): void {
    this.remembers.value = saveConsent(this.#storage, true);
    this.consent.value = 'given';
  }

  /** Looks around without contributing, or reads the text again. */
  decline(declined: boolean): void {
    this.declined.value = declined;
  }

  /** Removes everything that this browser keeps for the page, and ends the session. */
  async forgetEverything(): Promise<void> {
    this.withdrawConsent();
    await this.membership.leave().catch(() => {});
    try {
      localStorage.clear();
      for (const name of await caches.keys()) await caches.delete(name);
    } catch {
      // Where there is no storage there is nothing to remove.
    }
    location.reload();
  }

  get #bytesMax(): number | null {
    const { dataCapMb } = this.preferences.value;
    return dataCapMb === 0 ? null : dataCapMb * 1_000_000;
  }

  /** Forgets the consent and ends the session at once. */
  withdrawConsent(): void {
    saveConsent(this.#storage, false);
    batch(() => {
      this.#endDriver();
      this.session.value = READY_SESSION;
      this.consent.value = 'none';
    });
  }

  /** Starts a session on the selected run. Does nothing without consent or while one is active. */
  start(): void {
    if (!this.consented.value || isActive(this.session.value)) return;
    this.#endDriver();
    batch(() => {
      this.userPaused.value = false;
      this.finishing.value = false;
      this.#batteryOverride.value = false;
      this.#apply({ kind: 'started' });
    });
    this.#driver = new DriverClient({
      message: (message) => this.#apply({ kind: 'message', message, nowMs: Date.now() }),
      crashed: (message) => this.#apply({ kind: 'crashed', message }),
    });
    this.#send({
      kind: 'start',
      server: location.origin,
      run: this.selected.value,
      settings: this.#allowed.value,
    });
    if (!this.page.online.value) this.#send({ kind: 'online', online: false });
    const first = pauseMessage(null, this.#pauseReason.value);
    if (first !== null) this.#send(first);
  }

  /** Holds until the volunteer resumes. */
  pause(): void {
    if (isActive(this.session.value)) this.userPaused.value = true;
  }

  /** Goes on, and overrules the battery rules until the device is plugged in again. */
  resume(): void {
    batch(() => {
      if (!this.userPaused.value) this.#batteryOverride.value = true;
      this.userPaused.value = false;
    });
  }

  /** Hands in what is done and leaves. */
  finish(): void {
    if (!isActive(this.session.value) || this.finishing.value) return;
    this.finishing.value = true;
    this.#send({ kind: 'finish' });
    this.#finishTimer = setTimeout(
      () => this.#apply({ kind: 'cut_off', reason: texts.cutOff }),
      FINISH_LIMIT_MS,
    );
  }

  /** What Space does: the verb that stands first. */
  toggle(): void {
    const { verbs } = this.description.value;
    if (!this.consented.value) return;
    if (verbs.includes('start') || verbs.includes('restart')) this.start();
    else if (verbs.includes('pause')) this.pause();
    else if (verbs.includes('resume')) this.resume();
  }

  /** Tries the connection again without waiting for the countdown. */
  retryNow(): void {
    if (isActive(this.session.value)) this.#send({ kind: 'retry_now' });
    this.#poller.now();
  }

  /** Changes what the engine may use, now and next time. */
  setSettings(settings: Settings): void {
    this.#remember({ ...this.preferences.value, settings });
  }

  /** Changes rules or theme. */
  setPreferences(change: Partial<Omit<Preferences, 'settings'>>): void {
    this.#remember({ ...this.preferences.value, ...change });
  }

  /** Stored on change only: who never touches a setting leaves nothing in the browser. */
  #remember(preferences: Preferences): void {
    this.preferences.value = preferences;
    this.remembers.value = savePreferences(this.#storage, preferences);
  }

  /** Shows another run, and joins that one at the next start. */
  select(name: string): void {
    if (name === this.selected.value) return;
    const url = new URL(location.href);
    url.searchParams.set('run', name);
    history.replaceState(null, '', url);
    batch(() => {
      this.selected.value = name;
      this.history.value = EMPTY_HISTORY;
      this.gallery.reset();
    });
    this.#poller.now();
  }

  /** Follows the rules: each change of the decision becomes one message. */
  #watchRules(): void {
    let told = this.#pauseReason.value;
    effect(() => {
      const wanted = this.#pauseReason.value;
      const message = pauseMessage(told, wanted);
      told = wanted;
      if (message !== null) this.#send(message);
    });
    effect(() => this.#send({ kind: 'settings', settings: this.#allowed.value }));
    effect(() => this.#send({ kind: 'online', online: this.page.online.value }));
    effect(() => {
      if (this.page.battery.value?.charging) this.#batteryOverride.value = false;
    });
  }

  #send(message: ToDriver): void {
    this.#driver?.send(message);
  }

  #apply(event: SessionEvent): void {
    if (event.kind === 'started') {
      this.usage.begin();
      this.membership.begin();
    }
    if (event.kind === 'message') {
      const { message } = event;
      if (message.kind === 'standing') return this.membership.answered(message);
      if (message.kind === 'status') {
        this.usage.note(message.status.bytes_up + message.status.bytes_down);
        this.membership.note(message.status, event.nowMs);
      }
    }
    const next = reduceSession(this.session.value, event);
    batch(() => {
      this.session.value = next;
      if (isActive(next)) return;
      this.finishing.value = false;
      this.#endDriver();
    });
  }

  #endDriver(): void {
    clearTimeout(this.#finishTimer);
    this.#driver?.stop();
    this.#driver = null;
  }

  async #poll(): Promise<void> {
    const listing =
      this.#rounds % ROUNDS_PER_LISTING === 0 || this.run.value === null || this.view.value === 'runs';
    this.#rounds += 1;
    if (listing) await this.#pollListing();
    else await this.#pollRun();
    const run = this.run.value;
    if (run === null) return;
    await this.#pollHistory(run);
    if (listing) await this.playground.refresh();
  }

  async #pollListing(): Promise<void> {
    const runs = await fetchRuns();
    batch(() => {
      this.runs.value = runs;
      if (this.run.value !== null) return;
      const first = runs.find((run) => run.phase === 'running') ?? runs[0];
      this.selected.value = first?.name ?? null;
      this.history.value = EMPTY_HISTORY;
    });
  }

  async #pollRun(): Promise<void> {
    const name = this.selected.value;
    if (name === null) return;
    try {
      const fresh = await fetchRun(name);
      this.runs.value = this.runs.value.map((run) => (run.name === name ? fresh : run));
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 404) throw error;
      await this.#pollListing(); // The run was removed meanwhile.
    }
  }

  async #pollHistory({ name, version, eval: evaluation }: RunStatus): Promise<void> {
    if (wentBack(this.history.value, version)) this.history.value = EMPTY_HISTORY;
    const cursor = historyCursor(this.history.value, evaluation?.version ?? null);
    if (version <= cursor) return;
    const page = await fetchHistory(name, cursor);
    // The volunteer may have chosen another run while this was under way.
    if (name === this.selected.value) this.history.value = mergeHistory(this.history.value, page);
  }
}

function applyTheme(theme: Preferences['theme']): void {
  const { dataset } = document.documentElement;
  if (theme === 'system') delete dataset['theme'];
  else dataset['theme'] = theme;
}

function applyLanguage(chosen: Language | null): void {
  language.value = chosen ?? preferredLanguage(navigator.languages);
  document.documentElement.lang = htmlLanguage();
}

export const store = new VolunteerStore();
