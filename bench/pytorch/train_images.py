"""Trains the model of a run file on images in IDX files with PyTorch, until it is as accurate as asked for.

    python bench/pytorch/train_images.py RUN.toml FOLDER --accuracy 0.975 [--seed S] [--threads T]

The recipe is the run file's: batches, optimizer, epochs, how often it is evaluated. The order of samples and the initial
values are PyTorch's own. Everything is in memory before the clock starts, and the clock stands still during evaluations.
Prints one line of JSON: {"version": .., "threads": .., "steps": .., "seconds": .., "accuracy": ..}, where steps and seconds
are those of the first evaluation that was accurate enough (null if none was), total_seconds those of the whole recipe, and
accuracy the last one.
"""

import argparse
import json
import math
import time
import tomllib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from host import layers


def idx(path):
    data = path.read_bytes()
    dimensions = data[3]
    shape = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(dimensions)]
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def load(folder, part):
    """Images with their channels first, from 0 to 1, and labels."""
    images = torch.from_numpy(idx(folder / f"{part}-images-idx3-ubyte").astype(np.float32) / 255.0)
    labels = torch.from_numpy(idx(folder / f"{part}-labels-idx1-ubyte").astype(np.int64))
    return images.unsqueeze(1), labels


@torch.no_grad()
def accuracy_of(model, images, labels):
    right = sum((model(x).argmax(1) == y).sum().item() for x, y in zip(images.split(1000), labels.split(1000)))
    return right / len(labels)


def train(run, folder, wanted):
    recipe, optimizer = run["train"], run["optimizer"]
    assert optimizer["kind"] == "adam" and "schedule" not in run
    height, width, channels = run["model"]["input"]
    model, _ = layers(run["model"]["layers"], [channels, height, width])
    adam = torch.optim.Adam(model.parameters(), lr=optimizer["learning_rate"])
    images, labels = load(folder, "train")
    test = load(folder, "t10k")
    batch, every = recipe["global_batch"], run["evaluation"]["every_steps"]
    total = recipe["epochs"] * math.ceil(len(images) / batch)
    reached = accuracy = None
    seconds, step = 0.0, 0
    started = time.perf_counter()
    for _ in range(recipe["epochs"]):
        order = torch.randperm(len(images))
        for chosen in order.split(batch):
            adam.zero_grad(set_to_none=True)
            F.cross_entropy(model(images[chosen]), labels[chosen]).backward()
            adam.step()
            step += 1
            if step % every == 0 or step == total:
                seconds += time.perf_counter() - started
                accuracy = accuracy_of(model, *test)
                if reached is None and accuracy >= wanted:
                    reached = step, seconds
                started = time.perf_counter()
    steps, reached_after = reached or (None, None)
    return {"steps": steps, "seconds": reached_after, "total_seconds": seconds, "accuracy": accuracy}


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("run")
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--accuracy", type=float, required=True)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--threads", type=int)
    given = arguments.parse_args()
    torch.manual_seed(given.seed)
    if given.threads:
        torch.set_num_threads(given.threads)
    with open(given.run, "rb") as file:
        run = tomllib.load(file)
    result = train(run, given.folder, given.accuracy)
    print(json.dumps({"version": f"PyTorch {torch.__version__}", "threads": torch.get_num_threads(), **result}))


if __name__ == "__main__":
    main()
