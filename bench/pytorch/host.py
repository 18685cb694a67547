"""PyTorch on one thread, for comparison.

Reads one request a line from standard input, {"run": a run file as JSON, "micro_batch": N,
"millis": M}, and answers each with one line: {"samples_per_s": X, "parameters": P} or
{"error": "..."}. Measured are forward and backward passes over made-up samples, as everywhere in
this benchmark; no optimizer.
"""

import json
import math
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

torch.set_num_threads(1)


class Residual(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return x + self.inner(x)


class Positions(nn.Module):
    def __init__(self, context, width):
        super().__init__()
        self.table = nn.Parameter(torch.randn(context, width) * 0.02)

    def forward(self, x):
        return x + self.table


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x):
        n, t, width = x.shape
        q, k, v = (
            part.view(n, t, self.heads, width // self.heads).transpose(1, 2)
            for part in self.qkv(x).chunk(3, dim=-1)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(n, t, width))


def layer(spec, shape):
    """A module for one layer of a run file, and the shape of its output without the batch.

    Images have their channels first here, as PyTorch prefers them.
    """
    kind = spec["kind"]
    if kind == "flatten":
        return nn.Flatten(), [math.prod(shape)]
    if kind == "dense":
        return nn.Linear(shape[-1], spec["units"], bias=spec.get("bias", True)), [*shape[:-1], spec["units"]]
    if kind == "relu":
        return nn.ReLU(), shape
    if kind == "gelu":
        return nn.GELU(approximate="tanh"), shape
    if kind == "conv2d":
        channels, height, width = shape
        module = nn.Conv2d(channels, spec["channels"], spec["kernel"], padding=spec["padding"])
        return module, [spec["channels"], height, width]
    if kind == "max_pool":
        channels, height, width = shape
        return nn.MaxPool2d(spec["size"]), [channels, height // spec["size"], width // spec["size"]]
    if kind == "embedding":
        return nn.Embedding(spec["vocabulary"], spec["width"]), [*shape, spec["width"]]
    if kind == "positional_embedding":
        return Positions(*shape), shape
    if kind == "layer_norm":
        return nn.LayerNorm(shape[-1]), shape
    if kind == "attention":
        return Attention(shape[-1], spec["heads"]), shape
    if kind == "residual":
        inner, _ = layers(spec["layers"], shape)
        return Residual(inner), shape
    raise ValueError(f"no layer {kind} in this comparison")


def layers(specs, shape):
    modules = []
    for spec in specs:
        module, shape = layer(spec, shape)
        modules.append(module)
    return nn.Sequential(*modules), shape


def build(run, micro_batch):
    shape = run["model"]["input"]
    if run["data"]["format"] == "text":
        vocabulary = run["model"]["layers"][0]["vocabulary"]
        inputs = torch.randint(0, vocabulary, (micro_batch, *shape))
    else:
        if len(shape) == 3:
            shape = [shape[2], shape[0], shape[1]]
        inputs = torch.rand(micro_batch, *shape)
    model, output = layers(run["model"]["layers"], shape)
    labels = torch.randint(0, output[-1], (micro_batch * math.prod(output[:-1]),))
    return model, inputs, labels


def measure(run, micro_batch, millis):
    torch.manual_seed(1)
    model, inputs, labels = build(run, micro_batch)

    def gradient():
        model.zero_grad(set_to_none=True)
        logits = model(inputs)
        F.cross_entropy(logits.view(-1, logits.shape[-1]), labels).backward()

    gradient()
    started = time.perf_counter()
    samples = 0
    while True:
        gradient()
        samples += micro_batch
        elapsed = time.perf_counter() - started
        if elapsed * 1000 >= millis:
            break
    parameters = sum(p.numel() for p in model.parameters())
    return {"samples_per_s": samples / elapsed, "parameters": parameters}


def main():
    print(json.dumps({"version": f"PyTorch {torch.__version__}"}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = measure(request["run"], request["micro_batch"], request["millis"])
        except Exception as error:  # The other contenders go on.
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
