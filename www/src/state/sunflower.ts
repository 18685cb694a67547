/** Geometry and counting behind the sunflower. Pure. */

/** Enough seeds that one is a small share, few enough to tell apart. */
export const SEEDS = 360;

const GOLDEN_ANGLE = Math.PI * (3 - Math.sqrt(5));
/** Radius of the outermost seed in a picture that spans -100 to 100. */
const REACH = 94;

/** One seed's place and size. */
export interface Seed {
  x: number;
  y: number;
  radius: number;
}

/** Vogel's spiral: equal area to each seed, from the heart outwards, growing a little. */
export function seedPositions(): Seed[] {
  const round = (value: number): number => Math.round(value * 100) / 100;
  return Array.from({ length: SEEDS }, (_, idx) => {
    const part = Math.sqrt((idx + 0.5) / SEEDS);
    const angle = idx * GOLDEN_ANGLE;
    return {
      x: round(REACH * part * Math.cos(angle)),
      y: round(REACH * part * Math.sin(angle)),
      radius: round(1.5 + 1.6 * part),
    };
  });
}

/** Steps to a seed, rounded as a caption needs it. */
export function stepsPerSeed(stepsTotal: number): number {
  return Math.max(1, Math.round(stepsTotal / SEEDS));
}

/** The figures that are drawn. */
export interface SeedInputs {
  version: number;
  stepsTotal: number;
  samplesCommitted: number;
  samplesCredited: number;
}

/** How many seeds are committed, and how many of those are this device's: one at least if any. */
export function seedShares(inputs: SeedInputs): { committed: number; mine: number } {
  const { version, stepsTotal, samplesCommitted, samplesCredited } = inputs;
  if (stepsTotal <= 0 || version <= 0) return { committed: 0, mine: 0 };
  const committed = Math.max(1, Math.floor(SEEDS * Math.min(1, version / stepsTotal)));
  if (samplesCredited <= 0 || samplesCommitted <= 0) return { committed, mine: 0 };
  const share = Math.min(1, samplesCredited / samplesCommitted);
  return { committed, mine: Math.min(committed, Math.max(1, Math.round(committed * share))) };
}
