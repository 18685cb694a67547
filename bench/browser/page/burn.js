// Burn, compiled to wasm, in a worker.
let burn;

async function load() {
  burn = await import('/burn/bench_burn.js');
  const response = await fetch('/burn/bench_burn_bg.wasm');
  burn.initSync({ module: await WebAssembly.compileStreaming(response) });
}

addEventListener('message', async ({ data }) => {
  try {
    if (!burn) await load();
    postMessage(JSON.parse(burn.measure(JSON.stringify(data))));
  } catch (error) {
    // A wasm trap leaves the module in any state: the next message starts over.
    burn = undefined;
    postMessage({ error: String(error.message ?? error) });
  }
});
