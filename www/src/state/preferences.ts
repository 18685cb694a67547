/**
 * What this browser remembers of its volunteer: settings, rules, theme and consent. Parsing
 * trusts nothing that it finds in storage; writing to a storage that is full or switched off
 * is given up silently, since the page works without memory.
 */
import type { Settings } from '../engine/contract.ts';
import { isLanguage, type Language } from '../language.ts';

/** The theme the volunteer chose, or the system's. */
export type Theme = 'system' | 'light' | 'dark';

/** Remembered choices. */
export interface Preferences {
  settings: Settings;
  pauseWhenHidden: boolean;
  pauseOnBattery: boolean;
  theme: Theme;
  /** Charge in percent below which a device off the plug is left alone. */
  batteryFloor: number;
  /** Megabytes that may be sent and received in a day; 0 for any number. */
  dataCapMb: number;
  keepAwake: boolean;
  /** Null follows the browser. */
  language: Language | null;
}

/** The part of `Storage` that is used. */
export type KeyValue = Pick<Storage, 'getItem' | 'setItem'>;

/** Raise it when what runs or what is sent changes: everybody is then asked again. */
export const CONSENT_VERSION = 2;

/** Charges in percent that can be chosen as the floor. */
export const BATTERY_FLOORS: readonly number[] = [10, 20, 30, 50, 80];
/** Megabytes a day that can be chosen as the limit; 0 for none. */
export const DATA_CAPS_MB: readonly number[] = [0, 50, 100, 250, 500, 1_000, 5_000];

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
    settings: { duty_percent: DUTY_MAX, lanes: defaultLanes(cores), gpu: 'off' },
    pauseWhenHidden: false,
    pauseOnBattery: true,
    theme: 'system',
    batteryFloor: 20,
    dataCapMb: 0,
    keepAwake: false,
    language: null,
  };
}

function oneOf(value: unknown, allowed: readonly number[], otherwise: number): number {
  return typeof value === 'number' && allowed.includes(value) ? value : otherwise;
}

function intWithin(value: unknown, min: number, max: number, otherwise: number): number {
  return typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max
    ? value
    : otherwise;
}

const gpuWish = (value: unknown): Settings['gpu'] =>
  value === 'auto' || value === 'always' ? value : 'off';

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
      gpu: gpuWish(settings['gpu']),
    },
    pauseWhenHidden: boolOr(stored['pauseWhenHidden'], defaults.pauseWhenHidden),
    pauseOnBattery: boolOr(stored['pauseOnBattery'], defaults.pauseOnBattery),
    theme: theme === 'light' || theme === 'dark' ? theme : 'system',
    batteryFloor: oneOf(stored['batteryFloor'], BATTERY_FLOORS, defaults.batteryFloor),
    dataCapMb: oneOf(stored['dataCapMb'], DATA_CAPS_MB, defaults.dataCapMb),
    keepAwake: boolOr(stored['keepAwake'], defaults.keepAwake),
    language: isLanguage(stored['language']) ? stored['language'] : null,
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

/** Remembers the preferences; whether the browser let it. */
export function savePreferences(storage: KeyValue | null, preferences: Preferences): boolean {
  return write(storage, PREFERENCES_KEY, JSON.stringify(preferences));
}

/** What this browser remembers of the consent. */
export type Consent = 'none' | 'outdated' | 'given';

/** Whether the consent was given, and to the present version of the text. */
export function loadConsent(storage: KeyValue | null): Consent {
  const version = Number(read(storage, CONSENT_KEY) ?? 0);
  if (version === CONSENT_VERSION) return 'given';
  return Number.isInteger(version) && version > 0 ? 'outdated' : 'none';
}

/** Remembers, or forgets, the consent. */
export function saveConsent(storage: KeyValue | null, accepted: boolean): boolean {
  return write(storage, CONSENT_KEY, accepted ? String(CONSENT_VERSION) : '0');
}

/**
 * The browser's storage, or null where reading the property alone throws. With a scope nothing is shared with
 * pages of another: the badge, where browsers don't keep its storage apart, has a consent of its own all the same.
 */
export function browserStorage(scope?: string): KeyValue | null {
  try {
    const storage = window.localStorage;
    return scope === undefined ? storage : scoped(storage, scope);
  } catch {
    return null;
  }
}

/** A storage in which all keys begin with a scope. */
export function scoped(storage: KeyValue, scope: string): KeyValue {
  return {
    getItem: (key) => storage.getItem(`${scope}.${key}`),
    setItem: (key, value) => storage.setItem(`${scope}.${key}`, value),
  };
}

/** Bytes sent and received on a day. */
export interface Usage {
  day: string;
  bytes: number;
}

const USAGE_KEY = 'tabswarm.usage';
const VOLUNTEER_KEY = 'tabswarm.volunteer';

/** What all tabs of this browser used on a day. */
export function loadUsage(storage: KeyValue | null, day: string): Usage {
  const { day: of, bytes } = parseObject(read(storage, USAGE_KEY));
  const known = of === day && typeof bytes === 'number' && bytes >= 0 && Number.isFinite(bytes);
  return { day, bytes: known ? bytes : 0 };
}

/** Adds to what was used on a day. Tabs add their own parts, so that none is lost. */
export function addUsage(storage: KeyValue | null, day: string, bytes: number): Usage {
  const usage = { day, bytes: loadUsage(storage, day).bytes + bytes };
  write(storage, USAGE_KEY, JSON.stringify(usage));
  return usage;
}

/** The name on the leaderboard, and the key that proves it. */
export interface Volunteer {
  key: string;
  name: string;
}

/** The volunteer, if one chose a name. */
export function loadVolunteer(storage: KeyValue | null): Volunteer | null {
  const { key, name } = parseObject(read(storage, VOLUNTEER_KEY));
  if (typeof key !== 'string' || !/^[0-9a-f]{64}$/.test(key)) return null;
  return typeof name === 'string' && name !== '' ? { key, name } : null;
}

/** Remembers, or forgets, the volunteer. */
export function saveVolunteer(storage: KeyValue | null, volunteer: Volunteer | null): boolean {
  return write(storage, VOLUNTEER_KEY, JSON.stringify(volunteer ?? {}));
}

function read(storage: KeyValue | null, key: string): string | null {
  try {
    return storage?.getItem(key) ?? null;
  } catch {
    return null;
  }
}

function write(storage: KeyValue | null, key: string, value: string): boolean {
  try {
    storage?.setItem(key, value);
    return storage !== null;
  } catch {
    // Full or forbidden: the choice holds for this visit only.
    return false;
  }
}
