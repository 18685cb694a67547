/**
 * The curves of one run, grown page by page and kept short. The server sends only what is new
 * and thins long stretches itself; the page thins what it accumulates over hours.
 */
import type { EvalPoint, HistoryPage, StepPoint } from '../api/types.ts';

/** More points than this cannot be told apart on any screen. */
export const HISTORY_POINTS_MAX = 4_000;
/** Weight of the newest loss in the smoothed curve. */
const SMOOTHING = 0.06;

/** The steps and evaluations seen so far, in order of version. */
export interface History {
  steps: readonly StepPoint[];
  evals: readonly EvalPoint[];
}

export const EMPTY_HISTORY: History = { steps: [], evals: [] };

/**
 * The version after which to ask for more. An evaluation may end many steps after the one it
 * belongs to, so when the run reports one that is not here yet, the page asks from the last
 * one that is.
 */
export function historyCursor(history: History, evalVersion: number | null): number {
  const lastEval = history.evals.at(-1)?.version ?? 0;
  const behind = evalVersion !== null && evalVersion > lastEval;
  return behind ? lastEval : Math.max(history.steps.at(-1)?.version ?? 0, lastEval);
}

/**
 * True if the run went back behind what the page has seen: a step that a crash un-committed,
 * or a roll-back. The curves must then be fetched again.
 */
export function wentBack(history: History, version: number): boolean {
  return historyCursor(history, null) > version;
}

/** Appends a page, ignoring what is known already, and thins if the curve got too long. */
export function mergeHistory(history: History, page: HistoryPage): History {
  const steps = appendNewer(history.steps, page.steps);
  const evals = appendNewer(history.evals, page.evals);
  if (steps === history.steps && evals === history.evals) return history;
  return { steps: thin(steps), evals: thin(evals) };
}

function appendNewer<T extends { version: number }>(
  known: readonly T[],
  fresh: readonly T[],
): readonly T[] {
  const last = known.at(-1)?.version ?? -1;
  const newer = fresh.filter((point) => point.version > last);
  return newer.length === 0 ? known : [...known, ...newer];
}

/** Drops every other point of the older half, so the recent part keeps its detail. */
function thin<T>(points: readonly T[]): readonly T[] {
  if (points.length <= HISTORY_POINTS_MAX) return points;
  const half = Math.floor(points.length / 2);
  return points.filter((_, idx) => idx >= half || idx % 2 === 0);
}

/** An exponential moving average that starts at the first value instead of at zero. */
export function smooth(values: readonly number[]): number[] {
  let mean = values[0] ?? 0;
  return values.map((value) => (mean += SMOOTHING * (value - mean)));
}

/** A table's worth of rows, evenly picked and always with the newest. */
export function pickRows<T>(points: readonly T[], nRows: number): T[] {
  if (points.length <= nRows) return [...points];
  const step = (points.length - 1) / (nRows - 1);
  return Array.from({ length: nRows }, (_, idx) => points[Math.round(idx * step)] as T);
}
