// Prints the brotli size of each file named on the command line, as a JSON array.
// Node has brotli built in; a crate for it would make every `cargo xtask` wait.
import { readFileSync } from 'node:fs';
import { brotliCompressSync, constants } from 'node:zlib';

const params = { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY };
const sizes = process.argv
  .slice(2)
  .map((file) => brotliCompressSync(readFileSync(file), { params }).length);
console.log(JSON.stringify(sizes));
