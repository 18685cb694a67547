/**
 * The page's ends of the engine's two workers: typed messages instead of `postMessage`, and
 * a worker's death as a sentence instead of an event nobody hears.
 */
import type { FromDriver, FromPredict, Model, ToDriver, ToPredict } from './contract.ts';

/** What a driver tells its owner. */
export interface DriverEvents {
  /** A message arrived. */
  message(message: FromDriver): void;
  /** The worker died; no message will follow. */
  crashed(message: string): void;
}

/** One driver worker, from its start to its end. A new session takes a new client. */
export class DriverClient {
  readonly #worker: Worker;

  constructor(events: DriverEvents) {
    this.#worker = new Worker(new URL('../worker/driver.ts', import.meta.url), {
      type: 'module',
      name: 'tabswarm-driver',
    });
    this.#worker.onmessage = (event: MessageEvent<FromDriver>) => events.message(event.data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.stop();
      events.crashed(describeError(event));
    };
    this.#worker.onmessageerror = () => {
      this.stop();
      events.crashed('it sent a message that this page cannot read');
    };
  }

  /** Queues a message; the worker reads them in order, also while it is still loading. */
  send(message: ToDriver): void {
    this.#worker.postMessage(message);
  }

  /** Ends the worker at once. Unsent work is lost, so finish first where there is time. */
  stop(): void {
    this.#worker.onmessage = null;
    this.#worker.terminate();
  }
}

interface Pending {
  resolve(answer: FromPredict): void;
  reject(reason: Error): void;
  onText(text: string): void;
}

/** What to write. */
export interface WriteRequest {
  prompt: string;
  temperature: number;
  seed: number;
  characters: number;
}

/** One predict worker. Calls may overlap; answers are matched by id. */
export class PredictClient {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  #dead: Error | null = null;

  constructor() {
    this.#worker = new Worker(new URL('../worker/predict.ts', import.meta.url), {
      type: 'module',
      name: 'tabswarm-predict',
    });
    this.#worker.onmessage = (event: MessageEvent<FromPredict>) => this.#settle(event.data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#die(describeError(event));
    };
    this.#worker.onmessageerror = () => this.#die('it sent a message that this page cannot read');
  }

  /** True once the worker died; the owner makes a new client. */
  get dead(): boolean {
    return this.#dead !== null;
  }

  /** Loads a model. Its parameters are moved to the worker and empty afterwards. */
  async load(model: Model): Promise<void> {
    const moved = model.params === null ? [] : [model.params];
    await this.#ask((id) => ({ kind: 'load', id, ...model }), moved);
  }

  /** Class probabilities of one normalized input. */
  async predict(input: Float32Array): Promise<Float32Array> {
    const answer = await this.#ask((id) => ({ kind: 'predict', id, input }), []);
    if (answer.kind !== 'prediction') throw new Error(`expected a prediction, got ${answer.kind}`);
    return answer.probabilities;
  }

  /** Class probabilities, (rows, classes), of some examples. */
  async rows(examples: ArrayBuffer, rows: Uint32Array): Promise<Float32Array> {
    const answer = await this.#ask((id) => ({ kind: 'rows', id, examples, rows }), []);
    if (answer.kind !== 'prediction') throw new Error(`expected a prediction, got ${answer.kind}`);
    return answer.probabilities;
  }

  /** Counts of examples, (class, answer). */
  async confusion(examples: ArrayBuffer): Promise<Uint32Array> {
    const answer = await this.#ask((id) => ({ kind: 'confusion', id, examples }), []);
    if (answer.kind !== 'counts') throw new Error(`expected counts, got ${answer.kind}`);
    return answer.counts;
  }

  /** Writes on after a prompt, a piece of text at a time, until it is long enough or stopped. */
  async write(request: WriteRequest, onText: (text: string) => void): Promise<void> {
    await this.#ask((id) => ({ kind: 'write', id, ...request }), [], onText);
  }

  /** Ends the text that is being written. */
  async stopWriting(): Promise<void> {
    await this.#ask((id) => ({ kind: 'stop', id }), []);
  }

  /** Ends the worker; what was asked is not answered any more. */
  end(): void {
    this.#die('it was ended');
  }

  /** Parameters as a safetensors file. */
  async file(run_json: string, version: number, params: ArrayBuffer): Promise<Uint8Array<ArrayBuffer>> {
    const answer = await this.#ask((id) => ({ kind: 'file', id, run_json, version, params }), [params]);
    if (answer.kind !== 'file') throw new Error(`expected a file, got ${answer.kind}`);
    return answer.bytes;
  }

  #ask(
    build: (id: number) => ToPredict,
    transfer: Transferable[],
    onText: (text: string) => void = () => {},
  ): Promise<FromPredict> {
    if (this.#dead !== null) return Promise.reject(this.#dead);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject, onText });
      this.#worker.postMessage(build(id), transfer);
    });
  }

  #settle(answer: FromPredict): void {
    const pending = this.#pending.get(answer.id);
    if (pending === undefined) return;
    if (answer.kind === 'text') {
      pending.onText(answer.text);
      return;
    }
    this.#pending.delete(answer.id);
    if (answer.kind === 'failed') pending.reject(new Error(answer.message));
    else pending.resolve(answer);
  }

  #die(message: string): void {
    this.#worker.terminate();
    this.#dead = new Error(message);
    for (const pending of this.#pending.values()) pending.reject(this.#dead);
    this.#pending.clear();
  }
}

/** A load failure carries no message: the likely cause is a file that could not be fetched. */
function describeError(event: ErrorEvent): string {
  return event.message ? event.message : 'its files could not be loaded';
}
