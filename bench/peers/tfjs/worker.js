// TensorFlow.js in a worker, on its wasm backend (SIMD, one thread) or on WebGPU.
//
// Builds the model of a run file out of the library's operations and measures forward and backward
// passes over made-up samples: { folder, run, micro_batch, millis } -> { samples_per_s, parameters }
// or { error }. The first message's folder, `tfjs` or `tfjs-webgpu`, names the backend.
const LIBRARY = '/tfjs/node_modules/@tensorflow';
importScripts(`${LIBRARY}/tfjs/dist/tf.min.js`);

async function start(folder) {
  const backend = folder === 'tfjs' ? 'wasm' : 'webgpu';
  importScripts(`${LIBRARY}/tfjs-backend-${backend}/dist/tf-backend-${backend}.min.js`);
  if (backend === 'wasm') {
    tf.wasm.setWasmPaths(`${LIBRARY}/tfjs-backend-wasm/dist/`);
    tf.wasm.setThreadsCount(1);
  }
  if (!(await tf.setBackend(backend))) throw new Error(`the ${backend} backend does not start`);
  await tf.ready();
}

const variable = (shape, scale = 0.05) => tf.variable(tf.randomUniform(shape, -scale, scale));

function attention(width, heads) {
  const qkv = [variable([width, 3 * width]), variable([3 * width])];
  const out = [variable([width, width]), variable([width])];
  return (x) => {
    const [n, t] = x.shape;
    const project = (y, [weight, bias]) => tf.add(tf.matMul(tf.reshape(y, [n * t, width]), weight), bias);
    const parts = tf.split(tf.reshape(project(x, qkv), [n, t, 3 * width]), 3, 2);
    const [q, k, v] = parts.map((part) =>
      tf.transpose(tf.reshape(part, [n, t, heads, width / heads]), [0, 2, 1, 3]),
    );
    const scores = tf.mul(tf.matMul(q, k, false, true), 1 / Math.sqrt(width / heads));
    // Added, as there is no masked softmax.
    const later = tf.mul(tf.sub(1, tf.linalg.bandPart(tf.ones([t, t]), -1, 0)), -1e9);
    const mixed = tf.matMul(tf.softmax(tf.add(scores, later)), v);
    return tf.reshape(project(tf.transpose(mixed, [0, 2, 1, 3]), out), [n, t, width]);
  };
}

function layerNorm(width) {
  const [gain, bias] = [tf.variable(tf.ones([width])), tf.variable(tf.zeros([width]))];
  return (x) => {
    const centered = tf.sub(x, tf.mean(x, -1, true));
    const variance = tf.mean(tf.square(centered), -1, true);
    return tf.add(tf.mul(tf.mul(centered, tf.rsqrt(tf.add(variance, 1e-5))), gain), bias);
  };
}

function gelu(x) {
  const inner = tf.mul(tf.add(x, tf.mul(tf.mul(x, tf.square(x)), 0.044715)), Math.sqrt(2 / Math.PI));
  return tf.mul(tf.mul(x, 0.5), tf.add(tf.tanh(inner), 1));
}

function dense(inputs, units, hasBias) {
  const weight = variable([inputs, units]);
  const bias = hasBias ? variable([units]) : null;
  return (x) => {
    const y = tf.matMul(tf.reshape(x, [-1, inputs]), weight);
    return tf.reshape(bias ? tf.add(y, bias) : y, [...x.shape.slice(0, -1), units]);
  };
}

/** A function for one layer of a run file, and the shape of its output without the batch. */
function layer(spec, shape) {
  const last = shape[shape.length - 1];
  switch (spec.kind) {
    case 'flatten': {
      const size = shape.reduce((a, b) => a * b);
      return [(x) => tf.reshape(x, [-1, size]), [size]];
    }
    case 'dense':
      return [dense(last, spec.units, spec.bias ?? true), [...shape.slice(0, -1), spec.units]];
    case 'relu':
      return [tf.relu, shape];
    case 'gelu':
      return [gelu, shape];
    case 'conv2d': {
      const filter = variable([spec.kernel, spec.kernel, last, spec.channels]);
      const bias = variable([spec.channels]);
      const run = (x) => tf.add(tf.conv2d(x, filter, 1, spec.padding), bias);
      return [run, [shape[0], shape[1], spec.channels]];
    }
    case 'max_pool': {
      const size = spec.size;
      const pooled = [Math.floor(shape[0] / size), Math.floor(shape[1] / size), last];
      return [(x) => tf.maxPool(x, size, size, 'valid'), pooled];
    }
    case 'embedding': {
      const table = variable([spec.vocabulary, spec.width]);
      // A product, as the wasm backend has no gradient of a look-up.
      const run = (x) => {
        const flat = tf.oneHot(tf.reshape(x, [-1]), spec.vocabulary, 1, 0, 'float32');
        return tf.reshape(tf.matMul(flat, table), [-1, ...shape, spec.width]);
      };
      return [run, [...shape, spec.width]];
    }
    case 'positional_embedding': {
      const table = variable(shape);
      return [(x) => tf.add(x, table), shape];
    }
    case 'layer_norm':
      return [layerNorm(last), shape];
    case 'attention':
      return [attention(last, spec.heads), shape];
    case 'residual': {
      const [inner] = layers(spec.layers, shape);
      return [(x) => tf.add(x, inner(x)), shape];
    }
    default:
      throw new Error(`no layer ${spec.kind} in this comparison`);
  }
}

function layers(specs, shape) {
  const functions = [];
  for (const spec of specs) {
    const [run, output] = layer(spec, shape);
    functions.push(run);
    shape = output;
  }
  return [(x) => functions.reduce((y, run) => run(y), x), shape];
}

let model;

/** The model of a run; that of the last request is kept. */
function build(run, micro_batch) {
  const key = JSON.stringify([run, micro_batch]);
  if (model?.key === key) return model;
  tf.disposeVariables();
  const { input } = run.model;
  const isText = run.data.format === 'text';
  const inputs = isText
    ? tf.randomUniform([micro_batch, ...input], 0, run.model.layers[0].vocabulary, 'int32')
    : tf.randomUniform([micro_batch, ...input]);
  const [forward, output] = layers(run.model.layers, input);
  const classes = output[output.length - 1];
  const rows = micro_batch * (output.length > 1 ? output[0] : 1);
  const labels = tf.cast(tf.oneHot(tf.randomUniform([rows], 0, classes, 'int32'), classes), 'float32');
  const loss = () => tf.losses.softmaxCrossEntropy(labels, tf.reshape(forward(inputs), [rows, classes]));
  const variables = Object.values(tf.engine().registeredVariables);
  const parameters = variables.reduce((sum, v) => sum + v.size, 0);
  model = { key, loss, parameters };
  return model;
}

async function gradient(loss) {
  const { value, grads } = tf.variableGrads(loss);
  // Reads one value: nothing is left undone, on a GPU neither, which copies it after all the rest.
  if (tf.getBackend() === 'wasm') value.dataSync();
  else await value.data();
  tf.dispose([value, grads]);
}

async function measure({ run, micro_batch, millis }) {
  const { loss, parameters } = build(run, micro_batch);
  await gradient(loss);
  const started = performance.now();
  let samples = 0;
  for (;;) {
    await gradient(loss);
    samples += micro_batch;
    const elapsed = performance.now() - started;
    if (elapsed >= millis) return { samples_per_s: (samples / elapsed) * 1000, parameters };
  }
}

let started;

addEventListener('message', async ({ data }) => {
  try {
    await (started ??= start(data.folder));
    postMessage(await measure(data));
  } catch (error) {
    postMessage({ error: String(error.message ?? error).split('\n')[0] });
  }
});
