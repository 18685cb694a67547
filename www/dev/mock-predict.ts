/** A predict worker without a model: it compares the picture with the page's own sample digits. */
import { Ink } from '../src/digit/ink.ts';
import { preprocess } from '../src/digit/preprocess.ts';
import { SAMPLE_STROKES } from '../src/digit/strokes.ts';
import type { FromPredict, ToPredict } from '../src/engine/contract.ts';

const scope = self as unknown as DedicatedWorkerGlobalScope;
const SHARPNESS = 14;

const templates = SAMPLE_STROKES.map((strokes) => {
  const ink = new Ink();
  for (const [first, ...rest] of strokes) {
    if (first === undefined) continue;
    ink.begin(...first);
    for (const point of rest) ink.extend(...point);
  }
  return preprocess(ink.coverage, Ink.SIDE) ?? new Float32Array();
});

function cosine(a: Float32Array, b: Float32Array): number {
  const dot = (x: Float32Array, y: Float32Array): number =>
    x.reduce((sum, value, idx) => sum + value * (y[idx] ?? 0), 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b) || 1);
}

const post = (message: FromPredict): void => scope.postMessage(message);
let writing = 0;

/** Ten rows of probabilities, each sure of its own digit. */
const ROWS = Float32Array.from({ length: 100 }, (_, idx) => (idx % 11 === 0 ? 0.91 : 0.01));
const COUNTS = Uint32Array.from({ length: 100 }, (_, idx) => (idx % 11 === 0 ? 9 : idx % 10 === 3 ? 1 : 0));

async function write(id: number, characters: number): Promise<void> {
  writing = id;
  for (let n = 0; n < characters && writing === id; n++) {
    post({ kind: 'text', id, text: 'the whale '[n % 10] ?? '' });
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  post({ kind: 'done', id });
}

scope.onmessage = (event: MessageEvent<ToPredict>): void => {
  const message = event.data;
  const { id } = message;
  if (message.kind === 'load') post({ kind: 'loaded', id });
  else if (message.kind === 'rows') post({ kind: 'prediction', id, probabilities: ROWS });
  else if (message.kind === 'confusion') post({ kind: 'counts', id, counts: COUNTS });
  else if (message.kind === 'write') void write(id, message.characters);
  else if (message.kind === 'file') post({ kind: 'file', id, bytes: new Uint8Array(8) });
  else if (message.kind === 'stop') {
    writing = 0;
    post({ kind: 'done', id });
  } else {
    const { input } = message;
    const scores = templates.map((template) => Math.exp(SHARPNESS * cosine(input, template)));
    const total = scores.reduce((sum, score) => sum + score, 0);
    post({ kind: 'prediction', id, probabilities: Float32Array.from(scores, (s) => s / total) });
  }
};
