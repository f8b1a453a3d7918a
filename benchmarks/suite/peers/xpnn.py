"""xpnn, through its public `train` and `MLP.query`."""

from __future__ import annotations

import inspect
import itertools
import os
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np

import xpnn
from suite.cases import EPOCH_ROWS, Case
from suite.data import float_inputs

ENDLESS = 1 << 40  # epochs; the steps are asked for one pass at a time


def version() -> str:
    return f"xpnn {xpnn.__version__}" if hasattr(xpnn, "__version__") else "xpnn"


def has_fast_option() -> bool:
    return "fast" in inspect.signature(xpnn.train).parameters


def make_net(case: Case, weights: Any) -> xpnn.MLP:
    if case.optimizer == "seed":
        net = xpnn.recipes.RECIPES["seed"].network(case.sizes[0], [str(digit) for digit in range(10)])
    else:
        net = xpnn.MLP(case.sizes)
    parts = [part for layer in net.layers for part in layer if part is not None]
    for part, value in zip(parts, weights, strict=True):
        part[...] = value
    return net


def options_of(case: Case, rate: float) -> dict[str, Any]:
    kinds = {"adam": xpnn.optimizers.adam, "momentum": xpnn.optimizers.momentum}
    optimizer = kinds.get(case.optimizer, xpnn.optimizers.sgd)(rate)
    rule = "book" if case.optimizer == "seed" else "gradient"
    return {"optimizer": optimizer, "batch_size": case.batch, "error_rule": rule}


class Trainer:
    path = ""

    def __init__(self, task: Any) -> None:
        self.task = task
        self.options = options_of(task.case, task.rate)
        if task.variant == "reference" and has_fast_option():
            self.options["fast"] = False

    def start(self, steps: int, shuffle: bool) -> None:
        task, rows = self.task, slice(steps * self.task.case.batch)
        self.net = make_net(task.case, task.weights)
        shuffle = shuffle and task.case.optimizer != "seed"  # the textbook goes through the file in its order
        samples = task.inputs[rows], task.labels[rows]
        self.epochs = xpnn.train(self.net, samples, epochs=ENDLESS, shuffle=shuffle, **self.options)

    def run(self) -> None:
        self.path = next(self.epochs).step

    def result(self) -> list[Any]:
        return [part for layer in self.net.layers for part in layer if part is not None]


class Predictor:
    path = "query"

    def __init__(self, task: Any) -> None:
        self.net = make_net(task.case, task.weights)
        self.x = float_inputs(task.inputs[: task.case.batch])
        if task.case.batch == 1:
            self.x = self.x[0]

    def start(self, steps: int, shuffle: bool) -> None:
        self.run()

    def run(self) -> None:
        self.outputs = self.net.query(self.x)

    def result(self) -> list[Any]:
        return [np.atleast_2d(self.outputs)]


trainer, predictor = Trainer, Predictor


def warm_step_memory(folder: Path, inputs: Any, labels: Any, case: Case, weights: Any) -> int:
    """Bytes that a warm step takes beyond what it had before, at most: the least over some steps of their peaks."""
    peaks = []

    def look(progress: Any) -> None:
        if tracemalloc.is_tracing():
            peaks.append(tracemalloc.get_traced_memory()[1] - tracemalloc.get_traced_memory()[0])
        else:
            tracemalloc.start()
        tracemalloc.reset_peak()

    rows = slice(20 * case.batch)
    for _ in xpnn.train(
        make_net(case, weights), (inputs[rows], labels[rows]), epochs=1, progress=look, **options_of(case, case.rate)
    ):
        tracemalloc.stop()
    return min(peaks[5:])


def seed_recipe(folder: Path, path: str, epochs: int) -> dict[str, Any]:
    """`xpnn train FILE --recipe seed` without the command line: seconds of reading, and of each epoch."""
    started = time.perf_counter()
    data = xpnn.load(path)
    loaded = time.perf_counter()
    recipe = xpnn.recipes.RECIPES["seed"]
    net = recipe.network(data.train.inputs.shape[1], data.labels)
    seconds = []
    before = time.perf_counter()
    for epoch in itertools.islice(recipe.train(net, data.train), epochs):
        now = time.perf_counter()
        seconds.append(now - before)
        before, path = now, epoch.step
    return {"load": loaded - started, "epochs": seconds, "path": path, "rows": len(data.train)}
