import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatLoss,
  formatPercent,
  formatPercentTick,
  formatRate,
  formatSeconds,
} from '../src/format.ts';
import { language } from '../src/language.ts';

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
  [0, '0 bytes'],
  [1, '1 byte'],
  [999, '999 bytes'],
  [1_000, '1.0 kB'],
  [407_080, '407 kB'],
  [999_499, '999 kB'],
  [999_500, '1.0 MB'],
  [5e15, '5,000 TB'],
  [-1, '–'],
  [Infinity, '–'],
]);

table('durations', formatDuration, [
  [0, '0 sec'],
  [59.4, '59 sec'],
  [59.6, '1 min 00 sec'],
  [185, '3 min 05 sec'],
  [3_600, '1 hr 00 min'],
  [90_000, '1 day 1 hr'],
  [-1, '–'],
  [NaN, '–'],
]);

table('losses', formatLoss, [
  [2.302585, '2.303'],
  [0, '0.000'],
  [0.00042, '4.2E-4'],
  [NaN, '–'],
]);

table('rates', formatRate, [
  [0, '0/s'],
  [3.14, '3.1/s'],
  [9.96, '10/s'],
  [21_480, '21,480/s'],
]);

test('percent', () => {
  assert.equal(formatPercent(0.9764, 1), '97.6%');
  assert.equal(formatPercent(0.5), '50%');
  assert.equal(formatPercent(NaN), '–');
  assert.equal(formatPercentTick(0.975), '97.5%');
  assert.equal(formatPercentTick(0.8), '80%');
});

test('units follow the language that is chosen', () => {
  language.value = 'zh';
  try {
    assert.equal(formatDuration(185), '3分钟05秒');
    assert.equal(formatDuration(90_000), '1天1小时');
    assert.equal(formatSeconds(4.21), '4.2秒');
    assert.equal(formatBytes(12), '12字节');
    assert.equal(formatRate(21_480), '21,480/秒');
    assert.equal(formatPercent(0.9764, 1), '97.6%');
  } finally {
    language.value = 'en';
  }
  assert.equal(formatSeconds(4.21), '4.2 sec');
});
