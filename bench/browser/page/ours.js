// One of our modules in a worker. The first message names the folder that holds it.
let engine;

async function load(folder) {
  engine = await import(`/${folder}/tabswarm_client_wasm.js`);
  const response = await fetch(`/${folder}/tabswarm_client_wasm_bg.wasm`);
  engine.initSync({ module: await WebAssembly.compileStreaming(response) });
  engine.on_panic((message) => {
    throw new Error(message);
  });
}

async function measure({ folder, run, arithmetic_class, micro_batch, millis, peak }) {
  if (folder === 'gpu') {
    return { samples_per_s: await engine.gpu_bench(JSON.stringify(run), micro_batch, millis) };
  }
  if (peak) return { flops_per_s: engine.peak(arithmetic_class, millis) };
  return { samples_per_s: engine.bench(JSON.stringify(run), arithmetic_class, micro_batch, millis) };
}

addEventListener('message', async ({ data }) => {
  try {
    if (!engine) await load(data.folder);
    postMessage(await measure(data));
  } catch (error) {
    postMessage({ error: String(error.message ?? error) });
  }
});
