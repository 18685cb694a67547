/** Typed reads of the server's public HTTP API. No state, no retries: the caller paces. */
import type { HistoryPage, RunStatus, Snapshot } from './types.ts';

/** A server that does not answer in this time counts as away. */
const TIMEOUT_MS = 8_000;
/** Parameters are megabytes on a slow line, so they may take longer. */
const PARAMS_TIMEOUT_MS = 60_000;

/** The server answered, but not with what was asked for. */
export class ApiError extends Error {
  readonly status: number;

  constructor(path: string, status: number) {
    super(`the server answered ${path} with status ${status}`);
    this.name = 'ApiError';
    this.status = status;
  }
}

async function get(path: string, timeoutMs: number): Promise<Response> {
  const response = await fetch(path, { signal: AbortSignal.timeout(timeoutMs) });
  if (!response.ok) throw new ApiError(path, response.status);
  return response;
}

async function getJson<T>(path: string): Promise<T> {
  return (await (await get(path, TIMEOUT_MS)).json()) as T;
}

const runPath = (name: string): string => `/api/runs/${encodeURIComponent(name)}`;

/** All runs that the server hosts. */
export const fetchRuns = (): Promise<RunStatus[]> => getJson('/api/runs');

/** One run. */
export const fetchRun = (name: string): Promise<RunStatus> => getJson(runPath(name));

/** Steps and evaluations after a version. */
export const fetchHistory = (name: string, after: number): Promise<HistoryPage> =>
  getJson(`${runPath(name)}/history?after=${after}`);

/** The snapshots that can be fetched, newest first. */
export const fetchSnapshots = (name: string): Promise<Snapshot[]> =>
  getJson(`${runPath(name)}/snapshots`);

/** The canonical run file as JSON text, handed to the predict worker unread. */
export const fetchRunJson = async (name: string): Promise<string> =>
  (await get(`${runPath(name)}/run.json`, TIMEOUT_MS)).text();

/** Raw little-endian f32 parameters. */
export const fetchParams = async (digest: string): Promise<ArrayBuffer> =>
  (await get(`/api/params/${encodeURIComponent(digest)}`, PARAMS_TIMEOUT_MS)).arrayBuffer();
