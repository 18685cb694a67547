/** The predict worker: runs the model forward for "Try the model". */
import type { FromPredict, ToPredict } from '../engine/contract.ts';
import { compile, describe, start } from './module.ts';
import type { Engine } from './module.ts';

const scope = self as unknown as DedicatedWorkerGlobalScope;
let panic: string | null = null;
let model: InstanceType<Engine['Predictor']> | null = null;
let writer: InstanceType<Engine['Writer']> | null = null;
/** The request whose text is being written; another one, or a stop, ends it. */
let writing = 0;

const loading = compile().then((compiled) =>
  start(compiled, (message) => {
    panic = message;
  }),
);
// A failure is told to whoever asks.
loading.catch(() => {});

const post = (message: FromPredict): void => scope.postMessage(message);
/** Lets messages that came meanwhile in, without the delay that timers grow. */
const channel = new MessageChannel();
const turn = (): Promise<void> =>
  new Promise((resolve) => {
    channel.port1.onmessage = () => resolve();
    channel.port2.postMessage(null);
  });

type Load = Extract<ToPredict, { kind: 'load' }>;
type Write = Extract<ToPredict, { kind: 'write' }>;

async function load({ run_json, manifest_json, params }: Load): Promise<void> {
  const engine = await loading;
  const values = params === null ? undefined : new Uint8Array(params);
  if (manifest_json === null) {
    const next = new engine.Predictor(run_json, values);
    model?.free();
    model = next;
  } else {
    const next = new engine.Writer(run_json, manifest_json, values);
    writer?.free();
    writer = next;
  }
}

async function write({ id, prompt, temperature, seed, characters }: Write): Promise<void> {
  if (writer === null) throw new Error('No model is loaded.');
  writing = id;
  writer.begin(prompt, temperature, seed);
  for (let n = 0; n < characters && writing === id; n++) {
    post({ kind: 'text', id, text: writer.next_character() });
    await turn();
  }
}

async function answer(message: ToPredict): Promise<FromPredict> {
  const { id } = message;
  if (message.kind === 'stop') {
    writing = 0;
    return { kind: 'done', id };
  }
  if (message.kind === 'load') {
    writing = 0;
    await load(message);
    return { kind: 'loaded', id };
  }
  if (message.kind === 'write') {
    await write(message);
    return { kind: 'done', id };
  }
  if (message.kind === 'file') {
    const { run_json, version, params } = message;
    const bytes = (await loading).safetensors(run_json, version, new Uint8Array(params));
    return { kind: 'file', id, bytes: bytes as Uint8Array<ArrayBuffer> };
  }
  if (model === null) throw new Error('No model is loaded.');
  if (message.kind === 'confusion') {
    return { kind: 'counts', id, counts: model.confusion(new Uint8Array(message.examples)) };
  }
  const probabilities =
    message.kind === 'rows'
      ? model.predict_rows(new Uint8Array(message.examples), message.rows)
      : model.predict(message.input);
  return { kind: 'prediction', id, probabilities };
}

scope.onmessage = (event: MessageEvent<ToPredict>): void => {
  const { id } = event.data;
  const fail = (error: unknown): FromPredict => {
    return { kind: 'failed', id, message: panic ?? describe(error) };
  };
  void answer(event.data).catch(fail).then(post);
};
