/**
 * Prepares a drawing the way MNIST's were prepared: the ink's bounding box is scaled into
 * 20 × 20 keeping its proportions, with antialiasing, and put into 28 × 28 so that its center
 * of mass is the picture's central pixel. Pure. See https://yann.lecun.com/exdb/mnist/.
 */

/** Pixels on each side of the model's picture. */
export const SIDE = 28;
/** Pixels on the longer side of the scaled ink. */
export const BOX = 20;
/**
 * Where MNIST's centers of mass lie, measured over its test set from the picture's edge: the
 * center of pixel 14, half a pixel beyond the geometric middle.
 */
const CENTER = SIDE / 2 + 0.5;
/** Fainter coverage than this is the rim of a stroke and does not stretch the box. */
const INK_MIN = 0.1;

interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** The 28 × 28 picture, row-major in 0..1, or null if there is no ink. */
export function preprocess(coverage: Float32Array, side: number): Float32Array | null {
  const box = inkBox(coverage, side);
  if (box === null) return null;
  const scale = BOX / Math.max(box.width, box.height);
  const width = Math.max(1, Math.round(box.width * scale));
  const height = Math.max(1, Math.round(box.height * scale));
  const scaled = resample(coverage, side, box, width, height);
  return center(scaled, width, height);
}

/** The smallest box around the ink. */
function inkBox(coverage: Float32Array, side: number): Box | null {
  let [x0, y0, x1, y1] = [side, side, -1, -1];
  for (let idx = 0; idx < coverage.length; idx++) {
    if ((coverage[idx] ?? 0) < INK_MIN) continue;
    const x = idx % side;
    const y = Math.floor(idx / side);
    x0 = Math.min(x0, x);
    x1 = Math.max(x1, x);
    y0 = Math.min(y0, y);
    y1 = Math.max(y1, y);
  }
  return x1 < 0 ? null : { x: x0, y: y0, width: x1 - x0 + 1, height: y1 - y0 + 1 };
}

/** Averages the source over the area that each target pixel covers, first along x, then along y. */
function resample(
  source: Float32Array,
  side: number,
  box: Box,
  width: number,
  height: number,
): Float32Array {
  const rows = new Float32Array(width * box.height);
  for (let y = 0; y < box.height; y++) {
    for (let x = 0; x < width; x++) {
      const at = (idx: number): number => source[(box.y + y) * side + box.x + idx] ?? 0;
      rows[y * width + x] = areaMean(at, box.width, x, width);
    }
  }
  const out = new Float32Array(width * height);
  for (let x = 0; x < width; x++) {
    for (let y = 0; y < height; y++) {
      const at = (idx: number): number => rows[idx * width + x] ?? 0;
      out[y * width + x] = areaMean(at, box.height, y, height);
    }
  }
  return out;
}

/** Mean of `n` values over the `idx`-th of `parts` equal stretches, counting partial overlaps. */
function areaMean(at: (idx: number) => number, n: number, idx: number, parts: number): number {
  const from = (idx * n) / parts;
  const to = ((idx + 1) * n) / parts;
  let sum = 0;
  for (let i = Math.floor(from); i < Math.min(n, Math.ceil(to)); i++) {
    sum += at(i) * (Math.min(i + 1, to) - Math.max(i, from));
  }
  return sum / (to - from);
}

/** Pastes the scaled ink by whole pixels; lopsided ink stops at the picture's edge. */
function center(ink: Float32Array, width: number, height: number): Float32Array {
  let [mass, massX, massY] = [0, 0, 0];
  ink.forEach((value, idx) => {
    mass += value;
    massX += value * ((idx % width) + 0.5);
    massY += value * (Math.floor(idx / width) + 0.5);
  });
  const place = (moment: number, size: number): number =>
    Math.max(0, Math.min(SIDE - size, Math.round(CENTER - moment / mass)));
  const left = place(massX, width);
  const top = place(massY, height);
  const picture = new Float32Array(SIDE * SIDE);
  ink.forEach((value, idx) => {
    const row = top + Math.floor(idx / width);
    picture[row * SIDE + left + (idx % width)] = Math.min(1, value);
  });
  return picture;
}
