/**
 * Ink on paper: strokes in the unit square and the coverage they leave on a square grid,
 * each stroke a round pen. Computed here rather than read back from a canvas, because
 * browsers that resist fingerprinting add noise to what a page reads back.
 */

/** Where the pen went, in the unit square. */
export type Point = readonly [x: number, y: number];

/** Half the pen's width in the unit square: MNIST's strokes are about a ninth of a digit tall. */
export const PEN_RADIUS = 0.038;

/** More strokes than this on one canvas are no digit. */
const STROKES_MAX = 200;
/** Points closer than this add nothing visible. */
const SPACING_MIN = 0.004;

/** A drawing in progress. */
export class Ink {
  /** Grid points on each side: five to a pixel of the model's picture. */
  static readonly SIDE = 140;

  readonly strokes: Point[][] = [];
  /** Coverage in row-major order, 0 for paper and 1 for ink. */
  readonly coverage = new Float32Array(Ink.SIDE * Ink.SIDE);

  /** True while there is nothing on the paper. */
  get isEmpty(): boolean {
    return this.strokes.length === 0;
  }

  /** Puts the pen down. */
  begin(x: number, y: number): void {
    if (this.strokes.length >= STROKES_MAX) return;
    this.strokes.push([[x, y]]);
    this.#stamp([x, y], [x, y]);
  }

  /** Moves the pen. */
  extend(x: number, y: number): void {
    const stroke = this.strokes.at(-1);
    const last = stroke?.at(-1);
    if (stroke === undefined || last === undefined) return;
    if (Math.hypot(x - last[0], y - last[1]) < SPACING_MIN) return;
    stroke.push([x, y]);
    this.#stamp(last, [x, y]);
  }

  /** Takes a new sheet. */
  clear(): void {
    this.strokes.length = 0;
    this.coverage.fill(0);
  }

  /** Covers everything within the pen's radius of a segment; the rim is antialiased. */
  #stamp([ax, ay]: Point, [bx, by]: Point): void {
    const n = Ink.SIDE;
    const reach = PEN_RADIUS + 1 / n;
    const bound = (v: number): number => Math.max(0, Math.min(n - 1, Math.floor(v * n)));
    const x1 = bound(Math.max(ax, bx) + reach);
    const y1 = bound(Math.max(ay, by) + reach);
    const y0 = bound(Math.min(ay, by) - reach);
    for (let x = bound(Math.min(ax, bx) - reach); x <= x1; x++) {
      for (let y = y0; y <= y1; y++) {
        const distance = segmentDistance((x + 0.5) / n, (y + 0.5) / n, ax, ay, bx, by);
        const cover = Math.max(0, Math.min(1, (PEN_RADIUS - distance) * n + 0.5));
        const idx = y * n + x;
        if (cover > (this.coverage[idx] ?? 0)) this.coverage[idx] = cover;
      }
    }
  }
}

function segmentDistance(
  px: number,
  py: number,
  ax: number,
  ay: number,
  bx: number,
  by: number,
): number {
  const dx = bx - ax;
  const dy = by - ay;
  const length2 = dx * dx + dy * dy;
  const along = length2 === 0 ? 0 : ((px - ax) * dx + (py - ay) * dy) / length2;
  const t = Math.max(0, Math.min(1, along));
  return Math.hypot(px - (ax + t * dx), py - (ay + t * dy));
}
