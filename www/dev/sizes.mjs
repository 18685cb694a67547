// Prints what is served, brotli-compressed, and fails where a volunteer's part is over the budget.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { brotliCompressSync } from 'node:zlib';

/** HTML, scripts and styles of the page and its workers' glue; the engine's wasm is apart. */
const BUDGET_BYTES = 100_000;

/** Files of the operators' console alone, which is on a listener of its own. */
const CONSOLE = /^(assets\/)?admin[.-]/;

const [root = 'dist', form] = process.argv.slice(2);
/** `xtask web` adds the engine to it. */
const asJson = form === '--json';
const files = readdirSync(root, { recursive: true })
  .map((name) => join(root, String(name)))
  .filter((path) => statSync(path).isFile());

const page = { raw: 0, brotli: 0 };
for (const path of files.sort()) {
  const name = relative(root, path);
  const counts = !path.endsWith('.wasm') && !CONSOLE.test(name);
  if (asJson && !counts) continue;
  const raw = readFileSync(path);
  const packed = brotliCompressSync(raw).length;
  if (counts) {
    page.raw += raw.length;
    page.brotli += packed;
  }
  if (!asJson) console.log(`${String(raw.length).padStart(9)} B ${String(packed).padStart(8)} B br  ${name}`);
}
console.log(asJson ? JSON.stringify([page.raw, page.brotli]) : `page without wasm and console: ${page.brotli} B br of ${BUDGET_BYTES} B`);
if (page.brotli > BUDGET_BYTES) {
  console.error('the page is over its budget: find what grew, or argue for a new budget in dev/sizes.mjs');
  process.exitCode = 1;
}
