// Prints what is served, brotli-compressed, and fails where a volunteer's part is over the budget.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { brotliCompressSync } from 'node:zlib';

/** HTML, scripts and styles of the page and its workers' glue; the engine's wasm is apart. */
const BUDGET_BYTES = 100_000;

/** Files of the operators' console alone, which is on a listener of its own. */
const CONSOLE = /^(assets\/)?admin[.-]/;

const root = process.argv[2] ?? 'dist';
const files = readdirSync(root, { recursive: true })
  .map((name) => join(root, String(name)))
  .filter((path) => statSync(path).isFile());

let page = 0;
for (const path of files.sort()) {
  const raw = readFileSync(path);
  const packed = brotliCompressSync(raw).length;
  const name = relative(root, path);
  if (!path.endsWith('.wasm') && !CONSOLE.test(name)) page += packed;
  console.log(`${String(raw.length).padStart(9)} B ${String(packed).padStart(8)} B br  ${name}`);
}
console.log(`page without wasm and console: ${page} B br of ${BUDGET_BYTES} B`);
if (page > BUDGET_BYTES) {
  console.error('the page is over its budget: find what grew, or argue for a new budget in dev/sizes.mjs');
  process.exitCode = 1;
}
