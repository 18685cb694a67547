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

scope.onmessage = (event: MessageEvent<ToPredict>): void => {
  const { kind, id } = event.data;
  const post = (message: FromPredict): void => scope.postMessage(message);
  if (kind === 'load') {
    post({ kind: 'loaded', id });
    return;
  }
  const { input } = event.data;
  const scores = templates.map((template) => Math.exp(SHARPNESS * cosine(input, template)));
  const total = scores.reduce((sum, score) => sum + score, 0);
  post({ kind: 'prediction', id, probabilities: Float32Array.from(scores, (s) => s / total) });
};
