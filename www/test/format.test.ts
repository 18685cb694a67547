import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatLoss,
  formatPercent,
  formatRate,
} from '../src/format.ts';

type Case<T> = readonly [input: T, expected: string];

function table<T>(name: string, format: (input: T) => string, cases: readonly Case<T>[]): void {
  test(name, () => {
    for (const [input, expected] of cases) assert.equal(format(input), expected, String(input));
  });
}

table('counts are grouped', formatCount, [
  [0, '0'],
  [1_234_567, '1,234,567'],
  [NaN, '–'],
]);

table('bytes move to the next unit before they would read 1000', formatBytes, [
  [0, '0 B'],
  [999, '999 B'],
  [1_000, '1.0 KB'],
  [407_080, '407 KB'],
  [999_499, '999 KB'],
  [999_500, '1.0 MB'],
  [5e15, '5000 TB'],
  [-1, '–'],
  [Infinity, '–'],
]);

table('durations', formatDuration, [
  [0, '0 s'],
  [59.4, '59 s'],
  [59.6, '1 min 00 s'],
  [185, '3 min 05 s'],
  [3_600, '1 h 00 min'],
  [90_000, '1 d 1 h'],
  [-1, '–'],
  [NaN, '–'],
]);

table('losses', formatLoss, [
  [2.302585, '2.303'],
  [0, '0.000'],
  [0.00042, '4.2e-4'],
  [NaN, '–'],
]);

table('rates', formatRate, [
  [0, '0/s'],
  [3.14, '3.1/s'],
  [9.96, '10/s'],
  [21_480, '21,480/s'],
]);

test('percent', () => {
  assert.equal(formatPercent(0.9764, 1), '97.6 %');
  assert.equal(formatPercent(0.5), '50 %');
  assert.equal(formatPercent(NaN), '–');
});
