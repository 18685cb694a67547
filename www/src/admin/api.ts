/** The admin API over HTTP. The token goes into each request's header and nowhere else. */
import type { HistoryPage } from '../api/types.ts';
import type { Page } from './pages.ts';
import type {
  AdminRun,
  BanPage,
  BanRow,
  EventPage,
  Health,
  IssuedToken,
  RunVerb,
  Scope,
  SnapshotRow,
  TokenPage,
  TokenRow,
  Validation,
  Version,
  Work,
  WorkerPage,
  WorkerRow,
} from './types.ts';

/** A server that does not answer in this time counts as away. */
const TIMEOUT_MS = 15_000;
/** A new run's data set is cut into chunks and compressed before the answer. */
const CREATE_TIMEOUT_MS = 600_000;
/** Events of one request. */
const EVENTS_MAX = 200;
/** Workers of one page: they are sorted here, so it has as many as the server gives. */
const WORKERS_MAX = 1_000;
/** Tokens and bans of one page. */
const ROWS_MAX = 200;
const TOML = { 'content-type': 'application/toml' };
const JSON_TYPE = { 'content-type': 'application/json' };

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

  /** Workers behind one, as many as a page of them has. */
  async workers(after: string | null): Promise<Page<WorkerRow, string>> {
    const { workers, next } = await this.#page<WorkerPage>('/admin/workers', WORKERS_MAX, after);
    return { rows: workers, next };
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

  snapshots(run: string): Promise<SnapshotRow[]> {
    return this.#json(`${runPath(run)}/snapshots`);
  }

  /** A snapshot's safetensors file. */
  async snapshot(run: string, version: number): Promise<Blob> {
    return (await this.#send(snapshotPath(run, version), {}, CREATE_TIMEOUT_MS)).blob();
  }

  pin(run: string, version: number, pinned: boolean): Promise<SnapshotRow> {
    return this.#json(`${snapshotPath(run, version)}/pin`, { method: pinned ? 'PUT' : 'DELETE' });
  }

  deleteSnapshot(run: string, version: number): Promise<SnapshotRow> {
    return this.#json(snapshotPath(run, version), { method: 'DELETE' });
  }

  work(run: string): Promise<Work> {
    return this.#json(`${runPath(run)}/work`);
  }

  /** The run file that holds now. */
  async settings(run: string): Promise<string> {
    return (await this.#send(`${runPath(run)}/run.toml`)).text();
  }

  change(run: string, toml: string): Promise<AdminRun> {
    const init = { method: 'PUT', body: toml, headers: TOML };
    return this.#json(`${runPath(run)}/run.toml`, init, CREATE_TIMEOUT_MS);
  }

  validate(toml: string): Promise<Validation> {
    return this.#json('/admin/validate', { method: 'POST', body: toml, headers: TOML });
  }

  async tokens(after: number | null): Promise<Page<TokenRow, number>> {
    const { tokens, next } = await this.#page<TokenPage>('/admin/tokens', ROWS_MAX, after);
    return { rows: tokens, next };
  }

  /** `expires_in_s` is null for a token that holds until it is revoked. */
  issue(label: string, scope: Scope, expires_in_s: number | null): Promise<IssuedToken> {
    const body = JSON.stringify({ label, scope, expires_in_s });
    return this.#json('/admin/tokens', { method: 'POST', body, headers: JSON_TYPE });
  }

  revoke(id: number): Promise<TokenRow> {
    return this.#json(`/admin/tokens/${id}`, { method: 'DELETE' });
  }

  async bans(after: string | null): Promise<Page<BanRow, string>> {
    const { bans, next } = await this.#page<BanPage>('/admin/bans', ROWS_MAX, after);
    return { rows: bans, next };
  }

  /** `lasts_s` is null for a ban for good. */
  ban(identity: string, reason: string, lasts_s: number | null): Promise<BanRow> {
    const body = JSON.stringify({ reason, lasts_s });
    return this.#json(`/admin/bans/${identity}`, { method: 'PUT', body, headers: JSON_TYPE });
  }

  unban(identity: string): Promise<BanRow> {
    return this.#json(`/admin/bans/${identity}`, { method: 'DELETE' });
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
      { method: 'POST', body: toml, headers: TOML },
      CREATE_TIMEOUT_MS,
    );
  }

  #page<T>(path: string, limit: number, after: string | number | null): Promise<T> {
    return this.#json(`${path}?limit=${limit}${after === null ? '' : `&after=${after}`}`);
  }

  async #json<T>(path: string, init: RequestInit = {}, timeoutMs = TIMEOUT_MS): Promise<T> {
    return (await (await this.#send(path, init, timeoutMs)).json()) as T;
  }

  async #send(path: string, init: RequestInit = {}, timeoutMs = TIMEOUT_MS): Promise<Response> {
    const response = await fetch(path, {
      ...init,
      headers: { ...init.headers, authorization: `Bearer ${this.#token}` },
      signal: AbortSignal.timeout(timeoutMs),
    });
    if (response.ok) return response;
    const problem = (await response.json().catch(() => ({}))) as { detail?: string };
    throw new Refusal(response.status, problem.detail ?? `The server answered ${response.status}.`);
  }
}

const runPath = (name: string): string => `/admin/runs/${encodeURIComponent(name)}`;
const snapshotPath = (run: string, version: number): string => `${runPath(run)}/snapshots/${version}`;
