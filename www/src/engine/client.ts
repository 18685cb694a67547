/**
 * The page's ends of the engine's two workers: typed messages instead of `postMessage`, and
 * a worker's death as a sentence instead of an event nobody hears.
 */
import type { FromDriver, FromPredict, ToDriver, ToPredict } from './contract.ts';

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

  /** Loads a model. `params` is moved to the worker and empty afterwards. */
  async load(run_json: string, params: ArrayBuffer): Promise<void> {
    await this.#ask((id) => ({ kind: 'load', id, run_json, params }), [params]);
  }

  /** Class probabilities of one normalized input. */
  async predict(input: Float32Array): Promise<Float32Array> {
    const answer = await this.#ask((id) => ({ kind: 'predict', id, input }), []);
    if (answer.kind !== 'prediction') throw new Error(`expected a prediction, got ${answer.kind}`);
    return answer.probabilities;
  }

  #ask(build: (id: number) => ToPredict, transfer: Transferable[]): Promise<FromPredict> {
    if (this.#dead !== null) return Promise.reject(this.#dead);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#worker.postMessage(build(id), transfer);
    });
  }

  #settle(answer: FromPredict): void {
    const pending = this.#pending.get(answer.id);
    if (pending === undefined) return;
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
