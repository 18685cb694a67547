import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ink, type Point } from '../src/digit/ink.ts';
import { isDigitRun, normalize, parseNormalization } from '../src/digit/model-input.ts';
import { BOX, preprocess, SIDE } from '../src/digit/preprocess.ts';
import { SAMPLE_STROKES } from '../src/digit/strokes.ts';

function drawn(strokes: readonly (readonly Point[])[]): Ink {
  const ink = new Ink();
  for (const [first, ...rest] of strokes) {
    if (first === undefined) continue;
    ink.begin(...first);
    for (const point of rest) ink.extend(...point);
  }
  return ink;
}

function pictureOf(strokes: readonly (readonly Point[])[]): Float32Array {
  const ink = drawn(strokes);
  const picture = preprocess(ink.coverage, Ink.SIDE);
  assert.ok(picture !== null);
  return picture;
}

/** Bounding box and center of mass of what is visible. */
function measure(picture: Float32Array, visible = 0.02) {
  const xs: number[] = [];
  const ys: number[] = [];
  let [mass, x, y] = [0, 0, 0];
  picture.forEach((value, idx) => {
    const [column, row] = [idx % SIDE, Math.floor(idx / SIDE)];
    if (value > visible) {
      xs.push(column);
      ys.push(row);
    }
    mass += value;
    x += value * (column + 0.5);
    y += value * (row + 0.5);
  });
  const extent = (values: number[]): number => Math.max(...values) - Math.min(...values) + 1;
  return { width: extent(xs), height: extent(ys), x: x / mass, y: y / mass, mass };
}

test('no ink gives no picture', () => {
  assert.equal(preprocess(new Float32Array(100), 10), null);
});

test('a solid block fills the box exactly and sits in the middle', () => {
  const side = 40;
  const block = new Float32Array(side * side);
  for (let y = 3; y < 33; y++) for (let x = 5; x < 35; x++) block[y * side + x] = 1;
  const picture = preprocess(block, side);
  assert.ok(picture !== null);
  const { width, height, x, y, mass } = measure(picture);
  assert.deepEqual([width, height], [BOX, BOX]);
  assert.ok(Math.abs(x - 14.5) < 0.501 && Math.abs(y - 14.5) < 0.501);
  assert.ok(Math.abs(mass - BOX * BOX) < 1e-3, 'coverage is kept');
});

test('proportions are kept', () => {
  const side = 60;
  const bar = new Float32Array(side * side);
  for (let y = 5; y < 55; y++) for (let x = 30; x < 40; x++) bar[y * side + x] = 1;
  const picture = preprocess(bar, side);
  assert.ok(picture !== null);
  const { width, height } = measure(picture);
  assert.deepEqual([width, height], [4, 20]);
});

test('resampling averages areas: a checkerboard turns gray', () => {
  const side = 80;
  const board = Float32Array.from(
    { length: side * side },
    (_, idx) => ((idx % side) + Math.floor(idx / side)) % 2,
  );
  const picture = preprocess(board, side);
  assert.ok(picture !== null);
  const inner = picture.filter((value) => value > 0);
  assert.equal(inner.length, BOX * BOX);
  assert.ok(inner.every((value) => Math.abs(value - 0.5) < 1e-6));
});

test('place and size of a drawing do not matter', () => {
  const digit = SAMPLE_STROKES[3] ?? [];
  const moved = digit.map((stroke) => stroke.map(([x, y]): Point => [x + 0.1, y - 0.05]));
  const [a, b] = [pictureOf(digit), pictureOf(moved)];
  const difference = a.reduce((sum, value, idx) => sum + Math.abs(value - (b[idx] ?? 0)), 0);
  assert.ok(difference < 2, `differs by ${difference}`);
});

test('every sample digit fits like a digit of MNIST', () => {
  for (const [digit, strokes] of SAMPLE_STROKES.entries()) {
    const picture = pictureOf(strokes);
    const { width, height, x, y, mass } = measure(picture);
    assert.equal(Math.max(width, height), BOX, `digit ${digit} fills the box`);
    assert.ok(Math.abs(x - 14.5) <= 0.5 && Math.abs(y - 14.5) <= 0.5, `digit ${digit} is centered`);
    assert.ok(picture.every((value) => value >= 0 && value <= 1));
    // The training set's digits have 5 to 35 percent of their pixels inked.
    assert.ok(mass > 30 && mass < 220, `digit ${digit} has mass ${mass}`);
  }
});

test('lopsided ink stays inside the picture', () => {
  // A heavy block with a thin tail: its center of mass would push the tail over the edge.
  const side = 100;
  const ink = new Float32Array(side * side);
  for (let x = 0; x < 100; x++) ink[50 * side + x] = 1;
  for (let y = 35; y < 65; y++) for (let x = 0; x < 12; x++) ink[y * side + x] = 1;
  const picture = preprocess(ink, side);
  assert.ok(picture !== null);
  assert.equal(measure(picture, 0.01).width, BOX);
});

test('ink: clear takes a new sheet, repeated points add nothing', () => {
  const ink = new Ink();
  assert.ok(ink.isEmpty);
  ink.extend(0.5, 0.5); // No stroke was begun.
  assert.ok(ink.isEmpty);
  ink.begin(0.5, 0.5);
  ink.extend(0.5, 0.5);
  assert.equal(ink.strokes[0]?.length, 1);
  assert.ok(ink.coverage.some((value) => value === 1), 'a tap leaves a dot');
  ink.clear();
  assert.ok(ink.isEmpty && ink.coverage.every((value) => value === 0));
});

test('ink: strokes may leave the paper', () => {
  const ink = drawn([[[-2, -2], [3, 3]]]);
  assert.equal(ink.coverage[0], 1);
  assert.equal(ink.coverage.at(-1), 1);
});

test('runs that read digits', () => {
  const run = (input_shape: number[], classes = 10) => isDigitRun({ input_shape, classes });
  assert.ok(run([784]) && run([28, 28, 1]) && run([1, 28, 28]));
  assert.ok(!run([784], 65) && !run([64]) && !run([28, 28, 3]) && !run([]));
});

test('normalization comes from the run file, and plain pixels without one', () => {
  assert.deepEqual(parseNormalization('{"data":{}}'), { mean: 0, std: 1 });
  assert.deepEqual(parseNormalization('{"data":{"normalize":null}}'), { mean: 0, std: 1 });
  const normalization = parseNormalization('{"data":{"normalize":{"mean":0.5,"std":0.25}}}');
  assert.deepEqual([...normalize(Float32Array.of(0, 0.5, 1), normalization)], [-2, 0, 2]);
  assert.throws(() => parseNormalization('{"data":{"normalize":{"mean":0,"std":0}}}'));
  assert.throws(() => parseNormalization('{"data":{"normalize":{"mean":[0.1,0.2]}}}'));
});
