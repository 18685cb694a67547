/** Numbers and times as people read them. Pure; one fixed locale, that of the page's texts. */

const integer = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
const BYTE_UNITS = ['B', 'KB', 'MB', 'GB', 'TB'] as const;

/** `12,345`. */
export function formatCount(value: number): string {
  return Number.isFinite(value) ? integer.format(value) : '–';
}

/** `1.2 MB`, with 1,000 bytes to the kilobyte. */
export function formatBytes(bytes: number): string {
  if (!Number.isFinite(bytes) || bytes < 0) return '–';
  let value = bytes;
  let unit = 0;
  // 999.5 would round to "1000 KB": it belongs to the next unit already.
  while (value >= 999.5 && unit < BYTE_UNITS.length - 1) {
    value /= 1_000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : 1;
  return `${value.toFixed(digits)} ${BYTE_UNITS[unit]}`;
}

/** `97.6 %` from a ratio. */
export function formatPercent(ratio: number, digits = 0): string {
  return Number.isFinite(ratio) ? `${(ratio * 100).toFixed(digits)} %` : '–';
}

/** A loss in nats with three significant places where they matter. */
export function formatLoss(loss: number): string {
  if (!Number.isFinite(loss)) return '–';
  return loss !== 0 && Math.abs(loss) < 0.001 ? loss.toExponential(1) : loss.toFixed(3);
}

/** `8,240/s`, with a decimal below ten. */
export function formatRate(per_s: number): string {
  if (!Number.isFinite(per_s)) return '–';
  const slow = per_s > 0 && per_s < 9.95;
  return `${slow ? per_s.toFixed(1) : integer.format(per_s)}/s`;
}

/** `45 s`, `3 min 05 s`, `2 h 10 min`, `3 d 4 h`. */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return '–';
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3_600) return `${Math.floor(s / 60)} min ${String(s % 60).padStart(2, '0')} s`;
  const minutes = Math.floor(s / 60);
  if (minutes < 1_440) {
    return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
  }
  const hours = Math.floor(minutes / 60);
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}
