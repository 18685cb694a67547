/** From a picture in 0..1 to what a run's model expects. Pure. */
import type { RunStatus } from '../api/types.ts';
import { SIDE } from './preprocess.ts';

/** How the run file says that pixels are normalized: `(x - mean) / std`. */
export interface Normalization {
  mean: number;
  std: number;
}

const PLAIN: Normalization = { mean: 0, std: 1 };

/** True for runs that classify 28 × 28 gray pictures into ten classes. */
export function isDigitRun(run: Pick<RunStatus, 'classes' | 'input_shape'>): boolean {
  const dims = run.input_shape.filter((n) => n !== 1);
  const flat = dims.length === 1 && dims[0] === SIDE * SIDE;
  const square = dims.length === 2 && dims.every((n) => n === SIDE);
  return run.classes === 10 && (flat || square);
}

/** Reads `[data] normalize` from a run file's JSON; without one, pixels stay in 0..1. */
export function parseNormalization(runJson: string): Normalization {
  const run = JSON.parse(runJson) as { data?: { normalize?: Partial<Normalization> | null } };
  const { mean = 0, std = 1 } = run.data?.normalize ?? PLAIN;
  if (!Number.isFinite(mean) || !Number.isFinite(std) || std === 0) {
    throw new Error('the run file normalizes its data in a way that this page does not know');
  }
  return { mean, std };
}

/** A normalized copy, which the caller may give away. */
export function normalize(picture: Float32Array, { mean, std }: Normalization): Float32Array {
  return picture.map((value) => (value - mean) / std);
}
