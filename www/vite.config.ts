import { defineConfig } from 'vite';
import { mockEngine } from './dev/mock-engine.ts';
import { mockServer } from './dev/mock-server.ts';

// `--mode mock` swaps the engine's workers and the server for the ones in dev/,
// so the page can be worked on and tested with neither; no other mode loads them.
export default defineConfig(({ mode }) => ({
  plugins: mode === 'mock' ? [mockEngine(), mockServer()] : [],
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  worker: { format: 'es' },
  build: {
    target: 'es2022',
    // A strict Content-Security-Policy refuses data: URLs and inline scripts.
    assetsInlineLimit: 0,
    rollupOptions: { input: ['index.html', 'embed.html', 'admin.html'] },
    modulePreload: { polyfill: false },
  },
  server: {
    // `npm run dev` serves the page here and takes everything else from a running server.
    proxy:
      mode === 'mock'
        ? {}
        : {
            '/api': 'http://127.0.0.1:8080',
            '/ws': { target: 'ws://127.0.0.1:8080', ws: true },
          },
  },
}));
