/** Vite plugin: the page's two workers become the mock ones beside this file. */
import type { Plugin } from 'vite';

export function mockEngine(): Plugin {
  return {
    name: 'tabswarm-mock-engine',
    enforce: 'pre',
    transform(code, id) {
      if (!id.endsWith('/src/engine/client.ts')) return null;
      return code
        .replace("'../worker/driver.ts'", "'../../dev/mock-driver.ts'")
        .replace("'../worker/predict.ts'", "'../../dev/mock-predict.ts'");
    },
  };
}
