/** Typed reads of the server's public HTTP API. No state, no retries: the caller paces. */
import type { HistoryPage, Leader, RunStatus, Snapshot } from './types.ts';

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

/** Where the server gives a trained model as a file. */
export const exportPath = (name: string, format: 'onnx'): string =>
  `${runPath(name)}/export?format=${format}`;

/** The canonical run file as JSON text, handed to the predict worker unread. */
export const fetchRunJson = async (name: string): Promise<string> =>
  (await get(`${runPath(name)}/run.json`, TIMEOUT_MS)).text();

/** The manifest of a training set as JSON text. */
export const fetchManifest = async (digest: string): Promise<string> =>
  (await get(`/api/datasets/${encodeURIComponent(digest)}`, TIMEOUT_MS)).text();

/** Some samples of the test set, as the predict worker reads them. */
export const fetchExamples = async (name: string): Promise<ArrayBuffer> =>
  (await get(`${runPath(name)}/examples`, PARAMS_TIMEOUT_MS)).arrayBuffer();

/** Named volunteers of a run. */
export const fetchLeaders = (run: string): Promise<Leader[]> =>
  getJson(`/api/leaders?run=${encodeURIComponent(run)}`);

/** Takes the name of the volunteer with this key off the leaderboard. */
export async function forgetName(key: string): Promise<void> {
  const headers = { authorization: `Bearer ${key}` };
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const response = await fetch('/api/volunteer', { method: 'DELETE', headers, signal });
  if (!response.ok) throw new ApiError('/api/volunteer', response.status);
}

/** Where parameters that were tried lately are kept. */
const PARAMS_CACHE = 'tabswarm-params';
/** Models kept there; the oldest go first. */
const PARAMS_KEPT = 8;

/** The cache, or null in private windows and on pages without HTTPS. */
async function paramsCache(): Promise<Cache | null> {
  try {
    return await caches.open(PARAMS_CACHE);
  } catch {
    return null;
  }
}

/** Raw little-endian f32 parameters, from the Cache API where they are known. */
export async function fetchParams(digest: string): Promise<ArrayBuffer> {
  const path = `/api/params/${encodeURIComponent(digest)}`;
  const cache = await paramsCache();
  const known = await cache?.match(path).catch(() => undefined);
  if (known !== undefined) return known.arrayBuffer();
  const response = await get(path, PARAMS_TIMEOUT_MS);
  if (cache !== null) void keep(cache, path, response.clone());
  return response.arrayBuffer();
}

async function keep(cache: Cache, path: string, response: Response): Promise<void> {
  try {
    await cache.put(path, response);
    const keys = await cache.keys();
    for (const key of keys.slice(0, Math.max(0, keys.length - PARAMS_KEPT))) await cache.delete(key);
  } catch {
    // No room: the next time it comes over the network again.
  }
}
