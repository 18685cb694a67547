/** The admin API over HTTP. The token goes into each request's header and nowhere else. */
import type { HistoryPage, Snapshot } from '../api/types.ts';
import type { AdminRun, EventPage, Health, RunVerb, Version, WorkerPage, WorkerRow } from './types.ts';

/** A server that does not answer in this time counts as away. */
const TIMEOUT_MS = 15_000;
/** A new run's data set is cut into chunks and compressed before the answer. */
const CREATE_TIMEOUT_MS = 600_000;
/** Events of one request. */
const EVENTS_MAX = 200;
const WORKERS_MAX = 500;

/** The server refused, in its own words. */
export class Refusal extends Error {
  readonly status: number;

  constructor(status: number, detail: string) {
    super(detail);
    this.name = 'Refusal';
    this.status = status;
  }
}

/** The API, as the owner of a token sees it. */
export class AdminApi {
  readonly #token: string;

  constructor(token: string) {
    this.#token = token;
  }

  runs(): Promise<AdminRun[]> {
    return this.#json('/admin/runs');
  }

  health(): Promise<Health> {
    return this.#json('/admin/health');
  }

  /** The first workers, as many as a page of them has. */
  async workers(): Promise<WorkerRow[]> {
    const page: WorkerPage = await this.#json(`/admin/workers?limit=${WORKERS_MAX}`);
    return page.workers;
  }

  /** The newest events, or those after one. */
  events(after: number | null): Promise<EventPage> {
    return this.#json(`/admin/events?limit=${EVENTS_MAX}${after === null ? '' : `&after=${after}`}`);
  }

  history(run: string, after: number): Promise<HistoryPage> {
    return this.#json(`${runPath(run)}/history?after=${after}`);
  }

  versions(run: string): Promise<Version[]> {
    return this.#json(`${runPath(run)}/versions`);
  }

  snapshots(run: string): Promise<Snapshot[]> {
    return this.#json(`${runPath(run)}/snapshots`);
  }

  order(run: string, verb: RunVerb): Promise<AdminRun> {
    return this.#json(`${runPath(run)}/${verb}`, { method: 'POST' });
  }

  rollBack(run: string, to: number): Promise<AdminRun> {
    return this.#json(`${runPath(run)}/rollback?to=${to}`, { method: 'POST' });
  }

  fork(run: string, name: string, at: number): Promise<AdminRun> {
    const query = `name=${encodeURIComponent(name)}&at=${at}`;
    return this.#json(`${runPath(run)}/fork?${query}`, { method: 'POST' });
  }

  create(toml: string, start: boolean): Promise<AdminRun> {
    return this.#json(
      `/admin/runs?start=${start}`,
      { method: 'POST', body: toml, headers: { 'content-type': 'application/toml' } },
      CREATE_TIMEOUT_MS,
    );
  }

  async #json<T>(path: string, init: RequestInit = {}, timeoutMs = TIMEOUT_MS): Promise<T> {
    const response = await fetch(path, {
      ...init,
      headers: { ...init.headers, authorization: `Bearer ${this.#token}` },
      signal: AbortSignal.timeout(timeoutMs),
    });
    if (response.ok) return (await response.json()) as T;
    const problem = (await response.json().catch(() => ({}))) as { detail?: string };
    throw new Refusal(response.status, problem.detail ?? `The server answered ${response.status}.`);
  }
}

const runPath = (name: string): string => `/admin/runs/${encodeURIComponent(name)}`;
