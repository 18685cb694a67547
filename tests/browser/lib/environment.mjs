// Where things are. Everything is required: a test that cannot run has failed.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

function required(name, meaning) {
  const path = process.env[name];
  if (!path || !existsSync(path)) {
    throw new Error(
      `${name} must name ${meaning}${path ? `, and ${path} does not exist` : ''}; ` +
        'run the browser tests with `cargo xtask test`',
    );
  }
  return path;
}

export const CHROMIUM = required('TABSWARM_CHROMIUM', 'a Chromium');
export const SERVER_BIN = required('TABSWARM_SERVER_BIN', 'the binary tabswarm');
export const WORKER_BIN = required('TABSWARM_WORKER_BIN', 'the binary tabswarm-worker');
export const DIGESTS_BIN = required('TABSWARM_DIGESTS_BIN', 'the binary gradient-digests');
export const WASM = required('TABSWARM_WASM_DIR', "the folder of the page's wasm modules");
export const DATASETS = required('TABSWARM_DATASETS_DIR', 'the folder of data sets');
export const FIXTURES = required('TABSWARM_FIXTURES_DIR', 'the folder with the test run files');

/** Logs, screenshots and the servers' data; ignored by git, emptied by every start. */
export const RESULTS = fileURLToPath(new URL('../results', import.meta.url));
