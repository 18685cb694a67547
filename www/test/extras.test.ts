import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { addUsage, loadUsage, loadVolunteer, saveVolunteer, scoped } from '../src/state/preferences.ts';
import { firstRows, shareRight } from '../src/state/gallery.ts';
import { preferredLanguage } from '../src/language.ts';
import { en } from '../src/texts/en.ts';
import { zh } from '../src/texts/zh.ts';

function memory() {
  const values = new Map<string, string>();
  return {
    getItem: (key: string) => values.get(key) ?? null,
    setItem: (key: string, value: string) => void values.set(key, value),
  };
}

test('what one scope keeps is not there for another', () => {
  const storage = memory();
  const badge = scoped(storage, 'badge');
  badge.setItem('consent', '2');
  assert.equal(badge.getItem('consent'), '2');
  assert.equal(storage.getItem('consent'), null);
});

test('usage adds up over tabs and begins anew every day', () => {
  const storage = memory();
  addUsage(storage, '2030-1-1', 100);
  assert.deepEqual(addUsage(storage, '2030-1-1', 50), { day: '2030-1-1', bytes: 150 });
  assert.equal(loadUsage(storage, '2030-1-2').bytes, 0);
  for (const odd of ['{', '{"day":"2030-1-1","bytes":-1}', '{"day":"2030-1-1","bytes":"9"}']) {
    storage.setItem('tabswarm.usage', odd);
    assert.equal(loadUsage(storage, '2030-1-1').bytes, 0, odd);
  }
});

test('a volunteer is remembered, and what is none is not', () => {
  const storage = memory();
  const ada = { key: 'a5'.repeat(32), name: 'Ada' };
  saveVolunteer(storage, ada);
  assert.deepEqual(loadVolunteer(storage), ada);
  saveVolunteer(storage, null);
  assert.equal(loadVolunteer(storage), null);
  storage.setItem('tabswarm.volunteer', '{"key":"short","name":"Ada"}');
  assert.equal(loadVolunteer(storage), null);
});

test('the first example of each class is found by the labels behind the pictures', () => {
  const chunk = Uint8Array.from([9, 9, 9, 9, 1, 0, 0, 0, 1, 0, 2, 0]).buffer;
  assert.deepEqual([...firstRows(chunk, 1, 3)], [1, 0, 3]);
  assert.equal(shareRight(Uint32Array.from([3, 1, 0, 4]), 2), 7 / 8);
  assert.equal(shareRight(new Uint32Array(4), 2), 0);
});

test('the browser says which language, or it is English', () => {
  assert.equal(preferredLanguage(['fr', 'zh-CN', 'en']), 'zh');
  assert.equal(preferredLanguage(['fr']), 'en');
  assert.equal(preferredLanguage([]), 'en');
});

test('both languages have the same texts, none empty', () => {
  const shape = (value: unknown, path: string): string[] => {
    if (typeof value !== 'object' || value === null) {
      assert.notEqual(value, '', path);
      return [`${path}: ${typeof value}`];
    }
    return Object.entries(value).flatMap(([key, inner]) => shape(inner, `${path}.${key}`));
  };
  const without = ({ sentences: _, ...rest }: typeof en) => rest;
  assert.deepEqual(shape(without(zh), '').sort(), shape(without(en), '').sort());
});

test('what the engine says has a translation', () => {
  const explained = readFileSync('../crates/protocol/src/server.rs', 'utf8');
  const reported = readFileSync('../crates/client-core/src/session/report.rs', 'utf8');
  const sentences = [
    ...explained.matchAll(/=> "([^"]+)",/g),
    ...reported.matchAll(/(?:say\(|=> )"([A-Z][^"]+\.)"/g),
  ].map(([, sentence]) => sentence ?? '');
  assert.ok(sentences.length > 20);
  const missing = sentences.filter((sentence) => sentence.includes(' ') && !(sentence in zh.sentences));
  assert.deepEqual(missing, []);
});
