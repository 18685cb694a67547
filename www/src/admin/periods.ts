/** How long a token or a ban may hold, as it is chosen. Pure. */
import { words } from './words.ts';

const HOUR_S = 60 * 60;
const SECONDS: Record<string, number> = {
  '1h': HOUR_S,
  '1d': 24 * HOUR_S,
  '7d': 7 * 24 * HOUR_S,
  '30d': 30 * 24 * HOUR_S,
  '365d': 365 * 24 * HOUR_S,
};
const ENDLESS = 'endless';

/** All choices with their names; the one without end has a name that says what it is then. */
export function periods(endless: string): [value: string, name: string][] {
  const names = words.periods as Record<string, string>;
  return [...Object.keys(SECONDS).map((key): [string, string] => [key, names[key] ?? key]), [ENDLESS, endless]];
}

/** The seconds of a choice; null for the one without end. */
export function periodOf(choice: string): number | null {
  return SECONDS[choice] ?? null;
}
