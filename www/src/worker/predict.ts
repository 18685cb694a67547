/** The predict worker: runs the model forward for "Try the model". */
import type { FromPredict, ToPredict } from '../engine/contract.ts';
import { compile, describe, start } from './module.ts';
import type { Engine } from './module.ts';

const scope = self as unknown as DedicatedWorkerGlobalScope;
let panic: string | null = null;
let model: InstanceType<Engine['Predictor']> | null = null;

const loading = compile().then((compiled) =>
  start(compiled, (message) => {
    panic = message;
  }),
);
// A failure is told to whoever asks.
loading.catch(() => {});

async function answer(message: ToPredict): Promise<FromPredict> {
  const { id } = message;
  const engine = await loading;
  if (message.kind === 'load') {
    const next = new engine.Predictor(message.run_json, new Uint8Array(message.params));
    model?.free();
    model = next;
    return { kind: 'loaded', id };
  }
  if (model === null) throw new Error('No model is loaded.');
  return { kind: 'prediction', id, probabilities: model.predict(message.input) };
}

scope.onmessage = (event: MessageEvent<ToPredict>): void => {
  const { id } = event.data;
  const fail = (error: unknown): FromPredict => {
    return { kind: 'failed', id, message: panic ?? describe(error) };
  };
  answer(event.data)
    .catch(fail)
    .then((message) => scope.postMessage(message));
};
