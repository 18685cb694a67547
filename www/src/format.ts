/** Numbers and times as people read them, in the language in use. */
import { formatList, formatNumber, language, type Language } from './language.ts';

const BYTE_UNITS = ['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte'] as const;
/** `Intl` knows no rate of things that it has no unit for. */
const PER_SECOND: Record<Language, string> = { en: '/s', zh: '/秒' };
const NONE = '–';

/** `12,345`. */
export function formatCount(value: number): string {
  return Number.isFinite(value) ? formatNumber(value, { maximumFractionDigits: 0 }) : NONE;
}

/** `1.2 MB`, with 1,000 bytes to the kilobyte. */
export function formatBytes(bytes: number): string {
  if (!Number.isFinite(bytes) || bytes < 0) return NONE;
  let value = bytes;
  let idx = 0;
  // 999.5 would round to "1000 kB": it belongs to the next unit already.
  while (value >= 999.5 && idx < BYTE_UNITS.length - 1) {
    value /= 1_000;
    idx += 1;
  }
  const digits = idx === 0 || value >= 99.95 ? 0 : 1;
  return formatNumber(value, {
    style: 'unit',
    unit: BYTE_UNITS[idx] ?? 'terabyte',
    unitDisplay: idx === 0 ? 'long' : 'short',
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

/** `97.6%` from a ratio. */
export function formatPercent(ratio: number, digits = 0): string {
  if (!Number.isFinite(ratio)) return NONE;
  return formatNumber(ratio, {
    style: 'percent',
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

/** `97.5%` on an axis: four significant places at most, and no zeros that say nothing. */
export function formatPercentTick(ratio: number): string {
  return formatNumber(ratio, { style: 'percent', maximumSignificantDigits: 4 });
}

/** `0.25` on an axis. */
export function formatTick(value: number): string {
  return formatNumber(value, { maximumSignificantDigits: 3 });
}

/** `0.8`, with one decimal. */
export function formatTenths(value: number): string {
  return formatNumber(value, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
}

/** A loss in nats with three significant places where they matter. */
export function formatLoss(loss: number): string {
  if (!Number.isFinite(loss)) return NONE;
  if (loss !== 0 && Math.abs(loss) < 0.001) {
    return formatNumber(loss, { notation: 'scientific', maximumFractionDigits: 1 });
  }
  return formatNumber(loss, { minimumFractionDigits: 3, maximumFractionDigits: 3 });
}

/** `8,240/s`, with a decimal below ten. */
export function formatRate(per_s: number): string {
  if (!Number.isFinite(per_s)) return NONE;
  const slow = per_s > 0 && per_s < 9.95;
  return `${slow ? formatTenths(per_s) : formatCount(per_s)}${PER_SECOND[language.value]}`;
}

type TimeUnit = 'second' | 'minute' | 'hour' | 'day';

function measure(value: number, unit: TimeUnit, digits = 1): string {
  return formatNumber(value, { style: 'unit', unit, minimumIntegerDigits: digits });
}

/** `4.2 sec`, for times in which a tenth counts. */
export function formatSeconds(seconds: number): string {
  return formatNumber(seconds, {
    style: 'unit',
    unit: 'second',
    minimumFractionDigits: 1,
    maximumFractionDigits: 1,
  });
}

/** `45 sec`, `3 min 05 sec`, `2 hr 10 min`, `3 days 4 hr`. */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return NONE;
  const s = Math.round(seconds);
  if (s < 60) return measure(s, 'second');
  const minutes = Math.floor(s / 60);
  if (minutes < 60) return formatList([measure(minutes, 'minute'), measure(s % 60, 'second', 2)]);
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return formatList([measure(hours, 'hour'), measure(minutes % 60, 'minute', 2)]);
  return formatList([measure(Math.floor(hours / 24), 'day'), measure(hours % 24, 'hour')]);
}
