// docs/quickstart.md as a newcomer follows it: what is run, saved and promised here is read from that page.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { DATASETS, RESULTS, SERVER_BIN } from '../lib/environment.mjs';
import { Program } from '../lib/processes.mjs';
import { freePort } from '../lib/server.mjs';
import { openBrowser, Tab } from '../lib/tab.mjs';
import { until } from '../lib/wait.mjs';

const PAGE = readFileSync(fileURLToPath(new URL('../../../docs/quickstart.md', import.meta.url)), 'utf8');
const TEN_MINUTES_MS = 600_000;

/** The page's blocks in one language, in their order. */
function blocks(language) {
  return [...PAGE.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'gms'))].map(([, text]) => text.trim());
}

/** The only part of the page that this finds. */
function only(pattern) {
  const found = [...PAGE.matchAll(pattern)];
  assert.equal(found.length, 1, `${pattern} in docs/quickstart.md`);
  return found[0][1];
}

test('the quickstart trains a table’s classifier with one tab', { timeout: TEN_MINUTES_MS }, async (t) => {
  const folder = join(RESULTS, 'quickstart');
  mkdirSync(folder, { recursive: true });
  symlinkSync(DATASETS, join(folder, 'datasets'));
  const [port, adminPort] = [await freePort(), await freePort()];
  // Other ports than the page's, which may be taken on the machine that tests.
  const env = {
    ...process.env,
    PATH: `${dirname(SERVER_BIN)}${delimiter}${process.env.PATH}`,
    TABSWARM_LISTEN: `127.0.0.1:${port}`,
    TABSWARM_ADMIN_LISTEN: `127.0.0.1:${adminPort}`,
    TABSWARM_ADMIN: `http://127.0.0.1:${adminPort}`,
  };
  const type = (command) => execFileSync('sh', ['-euc', command], { cwd: folder, env, encoding: 'utf8' });

  // The first block builds, which was done before any browser test.
  const [build, serve, ...commands] = blocks('sh');
  assert.match(build, /^cargo xtask setup/);
  assert.match(build, /^cargo xtask web/m);
  assert.match(serve, /^tabswarm serve /);
  const run = only(/^name = "(.*)"$/gm);
  const least = Number(only(/accuracy of more than (0\.\d+)/g));
  assert.match(PAGE, /<http:\/\/127\.0\.0\.1:8080>/);
  const origin = `http://127.0.0.1:${port}`;

  const started = performance.now();
  const server = new Program('server of the quickstart', 'sh', ['-euc', `cd '${folder}' && exec ${serve}`], {
    log: join(folder, 'server.log'),
    env,
  });
  t.after(() => server.stop());
  await until('the server', 60_000, () => fetch(`${origin}/healthz`).then((answer) => answer.ok, () => false), () => server.tail());

  writeFileSync(join(folder, only(/Save this as `(.*?)`/g)), blocks('toml')[0]);
  const show = commands.pop();
  const said = commands.map(type);
  assert.match(said[0], /setosa +50\n/);
  assert.ok(blocks('toml')[0].includes(said[0].slice(said[0].indexOf('[data]')).trim()), `what was proposed is what the page says: ${said[0]}`);
  assert.match(said[1], new RegExp(only(/(\d+ flowers for training)/g).replace('flowers ', '')));
  assert.match(said.at(-1), /phase +running/);

  const browser = await openBrowser(t);
  const tab = await Tab.open(browser, origin);
  await tab.page.getByRole('button', { name: 'I understand, continue' }).click();
  await tab.page.getByRole('button', { name: 'Start', exact: true }).click();
  const status = () => fetch(`${origin}/api/runs/${run}`).then((answer) => answer.json());
  const end = await until(
    'the end of the run',
    300_000,
    async () => {
      const now = await status();
      return now.phase === 'finished' && now.eval?.version === now.version ? now : null;
    },
    async () => `— ${JSON.stringify(await status())}; ${server.tail()}`,
  );
  const seconds = (performance.now() - started) / 1_000;
  t.diagnostic(`accuracy ${end.eval.accuracy} after ${seconds.toFixed(1)} s`);
  assert.ok(end.eval.accuracy > least, `${end.eval.accuracy} is not more than ${least}`);
  await tab.untilValue('samples-accepted', end.samples_committed, 10_000);
  assert.match(type(show), /phase +finished/);
  assert.deepEqual(tab.problems, []);

  await t.test('its template is a run on the same table', () => {
    const text = type('tabswarm run init --template csv --name my-table > my-table.toml && tabswarm data inspect my-table.toml');
    assert.match(text, /120 for training, 30 for validation/);
  });
});
