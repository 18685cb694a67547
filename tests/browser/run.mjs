// The browser tests: `node --test-reporter=spec run.mjs`, started by `cargo xtask test`, which
// builds what they need and says in environment variables where it is (lib/environment.mjs).
// Scenarios run one after another: each has the machine, and so the timing, to itself.
import { mkdirSync, rmSync } from 'node:fs';
import { RESULTS } from './lib/environment.mjs';

rmSync(RESULTS, { recursive: true, force: true });
mkdirSync(RESULTS, { recursive: true });

await import('./scenarios/bits.mjs');
await import('./scenarios/page.mjs');
await import('./scenarios/quickstart.mjs');
await import('./scenarios/runs.mjs');
await import('./scenarios/embed.mjs');
await import('./scenarios/volunteer.mjs');
await import('./scenarios/controls.mjs');
await import('./scenarios/storage.mjs');
await import('./scenarios/memory.mjs');
await import('./scenarios/looks.mjs');
await import('./scenarios/console.mjs');
await import('./scenarios/training.mjs');
await import('./scenarios/elastic.mjs');
await import('./scenarios/lanes.mjs');
await import('./scenarios/gpu.mjs');
await import('./scenarios/gpu-training.mjs');
