import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pauseMessage, pauseReason, type PauseInputs } from '../src/state/pause-rules.ts';
import { pollDelayMs } from '../src/state/polling.ts';
import {
  CONSENT_VERSION,
  defaultLanes,
  loadConsent,
  loadPreferences,
  parsePreferences,
  saveConsent,
  savePreferences,
  type KeyValue,
} from '../src/state/preferences.ts';

const CALM: PauseInputs = {
  userPaused: false,
  hidden: false,
  battery: null,
  pauseWhenHidden: false,
  pauseOnBattery: true,
  batteryFloor: 20,
  bytesToday: 0,
  bytesMax: null,
  batteryOverride: false,
};
const onBattery = (level: number) => ({ charging: false, level });

const RULES: readonly (readonly [Partial<PauseInputs>, ReturnType<typeof pauseReason>])[] = [
  [{}, null],
  [{ userPaused: true }, 'user'],
  [{ hidden: true }, null],
  [{ hidden: true, pauseWhenHidden: true }, 'hidden'],
  [{ battery: onBattery(0.8) }, 'on_battery'],
  [{ battery: onBattery(0.8), pauseOnBattery: false }, null],
  [{ battery: onBattery(0.15), pauseOnBattery: false }, 'battery_low'],
  [{ battery: onBattery(0.1) }, 'battery_low'],
  [{ battery: onBattery(0.1), batteryOverride: true }, null],
  [{ battery: { charging: true, level: 0.05 } }, null],
  [{ battery: onBattery(0.8), hidden: true, pauseWhenHidden: true }, 'on_battery'],
  [{ battery: onBattery(0.8), userPaused: true }, 'user'],
  [{ battery: onBattery(0.8), batteryOverride: true, hidden: true, pauseWhenHidden: true }, 'hidden'],
];

test('the strongest reason to hold wins', () => {
  for (const [change, expected] of RULES) {
    assert.equal(pauseReason({ ...CALM, ...change }), expected, JSON.stringify(change));
  }
});

test('the engine hears about changes only', () => {
  assert.equal(pauseMessage(null, null), null);
  assert.equal(pauseMessage('user', 'user'), null);
  assert.deepEqual(pauseMessage(null, 'user'), { kind: 'pause', reason: 'user' });
  assert.deepEqual(pauseMessage('user', 'hidden'), { kind: 'pause', reason: 'hidden' });
  assert.deepEqual(pauseMessage('hidden', null), { kind: 'resume' });
});

test('polling is slow when hidden and backs off with jitter, up to a limit', () => {
  assert.equal(pollDelayMs(false, 0, 0.5), 1_000);
  assert.equal(pollDelayMs(true, 0, 0.5), 5_000);
  assert.equal(pollDelayMs(false, 1, 0), 1_000);
  assert.equal(pollDelayMs(false, 3, 0), 4_000);
  assert.equal(pollDelayMs(false, 3, 1), 8_000);
  assert.equal(pollDelayMs(false, 1_000, 1), 30_000);
  assert.equal(pollDelayMs(true, 1, 0), 5_000, 'never faster than without failures');
});

function memory(entries: Record<string, string> = {}): KeyValue & { map: Map<string, string> } {
  const map = new Map(Object.entries(entries));
  return {
    map,
    getItem: (key) => map.get(key) ?? null,
    setItem: (key, value) => void map.set(key, value),
  };
}

const BROKEN: KeyValue = {
  getItem: () => {
    throw new Error('denied');
  },
  setItem: () => {
    throw new Error('quota');
  },
};

test('consent is versioned', () => {
  const storage = memory();
  assert.equal(loadConsent(storage), 'none');
  saveConsent(storage, true);
  assert.equal(loadConsent(storage), 'given');
  saveConsent(storage, false);
  assert.equal(loadConsent(storage), 'none');
  assert.equal(loadConsent(memory({ 'tabswarm.consent': String(CONSENT_VERSION - 1) })), 'outdated');
});

test('preferences survive a round trip, and a broken storage', () => {
  const storage = memory();
  const preferences = { ...loadPreferences(storage, 8), theme: 'dark' as const, pauseWhenHidden: true };
  savePreferences(storage, preferences);
  assert.deepEqual(loadPreferences(storage, 8), preferences);
  savePreferences(BROKEN, preferences);
  assert.equal(loadPreferences(BROKEN, 8).theme, 'system');
  assert.equal(loadPreferences(null, 8).pauseOnBattery, true);
});

test('stored nonsense becomes the default, field by field', () => {
  for (const text of ['', 'null', '[]', '7', '{"settings":null}', '{"settings":{"lanes":"4"}}']) {
    assert.deepEqual(parsePreferences(text, 4), parsePreferences(null, 4), text);
  }
  const odd = parsePreferences('{"settings":{"duty_percent":5,"lanes":64},"theme":"pink"}', 4);
  assert.deepEqual(odd.settings, { duty_percent: 100, lanes: 3, gpu: 'off' });
  assert.equal(odd.theme, 'system');
  assert.equal(parsePreferences('{"settings":{"duty_percent":40}}', 4).settings.duty_percent, 40);
});

test('the default leaves a core to the volunteer', () => {
  assert.deepEqual([1, 2, 4, 16].map(defaultLanes), [1, 1, 3, 4]);
});
