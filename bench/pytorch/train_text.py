"""Trains the model of a run file on a text with PyTorch, with the same recipe, and prints the curve.

    python bench/pytorch/train_text.py RUN.toml TEXT [--epochs N] [--seed S] [--threads T]

The data, the batches' size, the optimizer, the schedule, the clipping and the evaluation are those of
the run file; the order of samples and the initial values are PyTorch's own, so that two curves are
two draws of one experiment. One line an evaluation: steps, tokens seen, validation loss in nats.
"""

import argparse
import math
import sys
import tomllib

import torch
import torch.nn.functional as F
from torch import nn

from host import layers


def split(text, context, validation):
    """Windows of context + 1 tokens, one behind the other, as the server cuts them."""
    vocabulary = sorted(set(text))
    token = {character: index for index, character in enumerate(vocabulary)}
    tokens = torch.tensor([token[character] for character in text])
    held_out = int(len(text) * validation)
    parts = tokens[: len(text) - held_out], tokens[len(text) - held_out :]

    def windows(part):
        count = (len(part) - 1) // context
        inputs = part[: count * context].view(count, context)
        labels = part[1 : count * context + 1].view(count, context)
        return inputs, labels

    return len(vocabulary), [windows(part) for part in parts]


def initialize(model):
    """As the run file's models begin: embeddings N(0, 0.02), the rest as PyTorch's linear layers do."""
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)


def factor(step, total, warmup):
    if step < warmup:
        return (step + 1) / warmup
    progress = min((step - warmup) / max(total - warmup, 1), 1.0)
    return 0.5 * (1 + math.cos(math.pi * progress))


@torch.no_grad()
def validate(model, inputs, labels):
    loss = 0.0
    for at in range(0, len(inputs), 64):
        logits = model(inputs[at : at + 64])
        flat = logits.reshape(-1, logits.shape[-1])
        loss += F.cross_entropy(flat, labels[at : at + 64].reshape(-1), reduction="sum").item()
    return loss / labels.numel()


def train(run, text, epochs):
    data, recipe, optimizer = run["data"], run["train"], run["optimizer"]
    assert optimizer["kind"] == "adamw" and run["schedule"]["decay"]["kind"] == "cosine"
    vocabulary, (training, validation) = split(text, data["context"], data["validation"])
    assert vocabulary == run["model"]["layers"][0]["vocabulary"]
    model, _ = layers(run["model"]["layers"], run["model"]["input"])
    initialize(model)
    adamw = torch.optim.AdamW(
        model.parameters(),
        lr=optimizer["learning_rate"],
        betas=(optimizer.get("beta1", 0.9), optimizer.get("beta2", 0.999)),
        weight_decay=optimizer.get("weight_decay", 0.01),
    )
    inputs, labels = training
    batch = recipe["global_batch"]
    per_epoch = math.ceil(len(inputs) / batch)
    total = per_epoch * epochs
    every = run["evaluation"]["every_steps"]
    step = tokens = 0
    for _ in range(epochs):
        order = torch.randperm(len(inputs))
        for at in range(0, len(inputs), batch):
            chosen = order[at : at + batch]
            rate = optimizer["learning_rate"] * factor(step, total, run["schedule"]["warmup_steps"])
            for group in adamw.param_groups:
                group["lr"] = rate
            model.zero_grad(set_to_none=True)
            logits = model(inputs[chosen])
            F.cross_entropy(logits.reshape(-1, vocabulary), labels[chosen].reshape(-1)).backward()
            nn.utils.clip_grad_norm_(model.parameters(), recipe["clip_norm"])
            adamw.step()
            step += 1
            tokens += labels[chosen].numel()
            if step % every == 0 or step == total:
                print(f"{step}\t{tokens}\t{validate(model, *validation):.4f}", flush=True)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("run")
    arguments.add_argument("text")
    arguments.add_argument("--epochs", type=int)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--threads", type=int, default=1)
    given = arguments.parse_args()
    torch.manual_seed(given.seed)
    torch.set_num_threads(given.threads)
    with open(given.run, "rb") as file:
        run = tomllib.load(file)
    with open(given.text, encoding="utf-8") as file:
        text = file.read()
    print(f"PyTorch {torch.__version__}, seed {given.seed}", file=sys.stderr)
    train(run, text, given.epochs or run["train"]["epochs"])


if __name__ == "__main__":
    main()
