/** Ten digits as pen strokes in the unit square: the keyboard's way to draw. */
import type { Point } from './ink.ts';

/** Degrees run clockwise from three o'clock, as the y axis points down. */
function arc(cx: number, cy: number, rx: number, ry: number, from: number, to: number): Point[] {
  const n = Math.max(2, Math.ceil(Math.abs(to - from) / 12));
  return Array.from({ length: n + 1 }, (_, idx): Point => {
    const angle = ((from + ((to - from) * idx) / n) * Math.PI) / 180;
    return [cx + rx * Math.cos(angle), cy + ry * Math.sin(angle)];
  });
}

/** By digit, the strokes in drawing order. */
export const SAMPLE_STROKES: readonly (readonly (readonly Point[])[])[] = [
  [arc(0.5, 0.5, 0.19, 0.31, -80, 284)],
  [[[0.55, 0.18], [0.46, 0.82]]],
  [[...arc(0.49, 0.35, 0.18, 0.16, 190, 395), [0.31, 0.79], [0.71, 0.79]]],
  [[...arc(0.47, 0.34, 0.18, 0.15, 205, 440), ...arc(0.48, 0.65, 0.2, 0.17, -80, 155)]],
  [[[0.36, 0.19], [0.31, 0.52], [0.69, 0.5]], [[0.65, 0.24], [0.6, 0.82]]],
  [[[0.68, 0.19], [0.4, 0.2], [0.36, 0.45], ...arc(0.47, 0.62, 0.19, 0.18, 232, 505)]],
  [[[0.62, 0.17], [0.46, 0.34], ...arc(0.49, 0.65, 0.16, 0.17, 192, 560)]],
  [[[0.3, 0.23], [0.7, 0.21], [0.56, 0.48], [0.46, 0.82]]],
  [[...arc(0.5, 0.34, 0.15, 0.15, -20, -270), ...arc(0.5, 0.65, 0.17, 0.16, -90, 270), ...arc(0.5, 0.34, 0.15, 0.15, 90, -20)]],
  [[...arc(0.49, 0.36, 0.16, 0.16, -15, -345), [0.65, 0.4], [0.6, 0.82]]],
];
