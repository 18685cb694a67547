/**
 * The engine's wasm module: which of the two builds this browser runs, and its loading.
 *
 * Both builds do the same. The relaxed one can also fuse multiplications and additions, with
 * instructions that not every browser has; a module that holds one unknown instruction does not
 * load at all.
 */
import relaxedUrl from '../wasm/relaxed/tabswarm_client_wasm_bg.wasm?url';
import gpuUrl from '../wasm/gpu/tabswarm_client_wasm_bg.wasm?url';
import simdUrl from '../wasm/simd128/tabswarm_client_wasm_bg.wasm?url';
import { OUT_OF_MEMORY } from '../engine/contract.ts';

/** What a build exports to scripts. */
export type Engine = typeof import('../wasm/simd128/tabswarm_client_wasm.js');

/** What the build with lanes for the graphics processor exports besides. */
export type GpuEngine = typeof import('../wasm/gpu/tabswarm_client_wasm.js');

/** The builds, by folder name. The last one is only loaded by a lane that may use the graphics processor. */
export type Build = 'relaxed' | 'simd128' | 'gpu';

/** A build whose code is compiled; workers get it by message and need not compile it again. */
export interface CompiledModule {
  build: Build;
  module: WebAssembly.Module;
}

// A module with one function `() -> v128` each: an operation on constant vectors.
const HEADER = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0];
// `i8x16.splat (i32.const 0)`.
const SPLAT = [65, 0, 253, 15];
const END = 11;

function runs(...body: number[]): boolean {
  // Sizes come first: of the code section, then its count of functions, then of the function, whose
  // first byte says that it has no locals.
  const code = [10, body.length + 4, 1, body.length + 2, 0, ...body, END];
  return WebAssembly.validate(new Uint8Array([...HEADER, ...code]));
}

function choose(): Build {
  // `i8x16.relaxed_swizzle`, by its number among the vector instructions.
  if (runs(...SPLAT, ...SPLAT, 253, 128, 2)) return 'relaxed';
  if (runs(...SPLAT)) return 'simd128';
  throw new Error(
    'This browser cannot help: it lacks WebAssembly SIMD. Browsers made since 2023 have it.',
  );
}

const urls: Record<Build, string> = { relaxed: relaxedUrl, simd128: simdUrl, gpu: gpuUrl };

/** Fetches and compiles the build for this browser. */
export async function compile(build: Build = choose()): Promise<CompiledModule> {
  const response = await fetch(urls[build]);
  if (!response.ok) {
    throw new Error(
      `The engine could not be loaded: the server answered ${response.status}. ` +
        'Reload the page to try again.',
    );
  }
  return { build, module: await WebAssembly.compileStreaming(response) };
}

/** Starts a compiled build in this worker. Panics in it call `onPanic` before they end it. */
export async function start(
  compiled: CompiledModule,
  onPanic: (message: string) => void,
): Promise<Engine> {
  const engine: Engine =
    compiled.build === 'relaxed'
      ? await import('../wasm/relaxed/tabswarm_client_wasm.js')
      : await import('../wasm/simd128/tabswarm_client_wasm.js');
  engine.initSync({ module: compiled.module });
  engine.on_panic(onPanic);
  return engine;
}

/** Loads and starts the build with lanes for the graphics processor. */
export async function startGpu(onPanic: (message: string) => void): Promise<GpuEngine> {
  const { module } = await compile('gpu');
  const engine: GpuEngine = await import('../wasm/gpu/tabswarm_client_wasm.js');
  engine.initSync({ module });
  engine.on_panic(onPanic);
  return engine;
}

/** The text of anything thrown. */
export function describe(error: unknown): string {
  if (isOutOfMemory(error)) return `the engine is ${OUT_OF_MEMORY}`;
  return error instanceof Error ? error.message : String(error);
}

/**
 * A panic says why before it ends the module. What ends it without a word is an allocation that failed, or a
 * module whose first memory the browser did not give.
 */
function isOutOfMemory(error: unknown): boolean {
  if (error instanceof WebAssembly.RuntimeError) return error.message.includes('unreachable');
  return error instanceof RangeError && /memory/i.test(error.message);
}
