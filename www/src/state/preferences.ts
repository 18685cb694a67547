/**
 * What this browser remembers of its volunteer: settings, rules, theme and consent. Parsing
 * trusts nothing that it finds in storage; writing to a storage that is full or switched off
 * is given up silently, since the page works without memory.
 */
import type { Settings } from '../engine/contract.ts';

/** The theme the volunteer chose, or the system's. */
export type Theme = 'system' | 'light' | 'dark';

/** Remembered choices. */
export interface Preferences {
  settings: Settings;
  pauseWhenHidden: boolean;
  pauseOnBattery: boolean;
  theme: Theme;
}

/** The part of `Storage` that is used. */
export type KeyValue = Pick<Storage, 'getItem' | 'setItem'>;

/** Raise it when what runs or what is sent changes: everybody is then asked again. */
export const CONSENT_VERSION = 1;

export const DUTY_MIN = 10;
export const DUTY_MAX = 100;
export const DUTY_STEP = 5;
/** More lanes than this are the volunteer's choice, never the default. */
const DEFAULT_LANES_MAX = 4;

const PREFERENCES_KEY = 'tabswarm.preferences';
const CONSENT_KEY = 'tabswarm.consent';

/** Leaves one core to the volunteer and takes no more than a few. */
export function defaultLanes(cores: number): number {
  return Math.max(1, Math.min(cores - 1, DEFAULT_LANES_MAX));
}

/** What a first visitor gets. */
export function defaultPreferences(cores: number): Preferences {
  return {
    settings: { duty_percent: DUTY_MAX, lanes: defaultLanes(cores) },
    pauseWhenHidden: false,
    pauseOnBattery: true,
    theme: 'system',
  };
}

function intWithin(value: unknown, min: number, max: number, otherwise: number): number {
  return typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max
    ? value
    : otherwise;
}

const boolOr = (value: unknown, otherwise: boolean): boolean =>
  typeof value === 'boolean' ? value : otherwise;

/** Reads what was stored, field by field; anything missing or odd becomes the default. */
export function parsePreferences(text: string | null, cores: number): Preferences {
  const defaults = defaultPreferences(cores);
  const stored = parseObject(text);
  const settings = (stored['settings'] ?? {}) as Record<string, unknown>;
  const theme = stored['theme'];
  return {
    settings: {
      duty_percent: intWithin(settings['duty_percent'], DUTY_MIN, DUTY_MAX, DUTY_MAX),
      lanes: intWithin(settings['lanes'], 1, cores, defaults.settings.lanes),
    },
    pauseWhenHidden: boolOr(stored['pauseWhenHidden'], defaults.pauseWhenHidden),
    pauseOnBattery: boolOr(stored['pauseOnBattery'], defaults.pauseOnBattery),
    theme: theme === 'light' || theme === 'dark' ? theme : 'system',
  };
}

function parseObject(text: string | null): Record<string, unknown> {
  if (text === null) return {};
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/** Reads the preferences from storage. */
export function loadPreferences(storage: KeyValue | null, cores: number): Preferences {
  return parsePreferences(read(storage, PREFERENCES_KEY), cores);
}

/** Remembers the preferences. */
export function savePreferences(storage: KeyValue | null, preferences: Preferences): void {
  write(storage, PREFERENCES_KEY, JSON.stringify(preferences));
}

/** True if the present version of the consent text was accepted in this browser. */
export function loadConsent(storage: KeyValue | null): boolean {
  return read(storage, CONSENT_KEY) === String(CONSENT_VERSION);
}

/** Remembers, or forgets, the consent. */
export function saveConsent(storage: KeyValue | null, accepted: boolean): void {
  write(storage, CONSENT_KEY, accepted ? String(CONSENT_VERSION) : '0');
}

/** The browser's storage, or null where reading the property alone throws. */
export function browserStorage(): KeyValue | null {
  try {
    return window.localStorage;
  } catch {
    return null;
  }
}

function read(storage: KeyValue | null, key: string): string | null {
  try {
    return storage?.getItem(key) ?? null;
  } catch {
    return null;
  }
}

function write(storage: KeyValue | null, key: string, value: string): void {
  try {
    storage?.setItem(key, value);
  } catch {
    // Full or forbidden: the choice holds for this visit only.
  }
}
