"""xpnn, through its public `train` and `MLP.query`."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import inspect
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import xpnn
import xpnn.fast.compiled
from suite.accuracy import SIZES, Settings
from suite.cases import Case, parse_case
from suite.data import float_inputs, initial_weights, read_rows
from suite.peers.blas import numpy_version
from suite.reference import EPSILON, MOMENTUM

ENDLESS = 1 << 40  # epochs; the steps are asked for one pass at a time


def version() -> str:
    try:
        ours = importlib.metadata.version("xpnn")
    except importlib.metadata.PackageNotFoundError:
        ours = "from the tree"
    return f"xpnn {ours}, {numpy_version()}{cupy_version()}"


def cupy_version() -> str:
    """Without importing it, which would take memory that a net on the CPU doesn't need."""
    found = [one for one in importlib.metadata.distributions() if one.name.startswith("cupy-cuda")]
    return "".join(f", {one.name} {one.version}" for one in found)


def has_fast_option() -> bool:
    return "fast" in inspect.signature(xpnn.train).parameters


def precision_option(call: Any, precision: str) -> dict[str, str]:
    """The keyword for matrix products of that precision, where this is the one of `MLP` and `train` that has it.

    Raises ValueError where neither has.
    """
    if precision == "float32":
        return {}
    has = {one: "precision" in inspect.signature(one).parameters for one in (xpnn.MLP, xpnn.train)}
    if not any(has.values()):
        raise ValueError(f"neither xpnn.MLP nor xpnn.train has the keyword precision, for {precision}")
    return {"precision": precision} if has[call] else {}


def make_net(case: Case, weights: Any, device: str = "cpu") -> xpnn.MLP:
    if case.optimizer == "seed":
        recipe = dataclasses.replace(xpnn.recipes.RECIPES["seed"], hidden_sizes=case.sizes[1:-1])
        net = recipe.network(case.sizes[0], list(map(str, range(case.sizes[-1]))))
    else:
        net = xpnn.MLP(case.sizes, device=device, **precision_option(xpnn.MLP, case.precision))
    parts = [part for layer in net.layers for part in layer if part is not None]
    for part, value in zip(parts, weights, strict=True):
        part[...] = net.xp.asarray(value)
    return net


def options_of(case: Case, rate: float) -> dict[str, Any]:
    if case.optimizer == "adam":
        optimizer = xpnn.optimizers.adam(rate, epsilon=EPSILON)
    else:
        optimizer = xpnn.optimizers.sgd(rate, momentum=MOMENTUM if case.optimizer == "momentum" else 0.0)
    rule = "book" if case.optimizer == "seed" else "gradient"
    precision = precision_option(xpnn.train, case.precision)
    return {"optimizer": optimizer, "batch_size": case.batch, "error_rule": rule, **precision}


class Trainer:
    path = ""

    def __init__(self, task: Any) -> None:
        self.task = task
        self.options = options_of(task.case, task.rate)
        if task.variant == "numpy":  # as where Numba isn't installed
            xpnn.fast.compiled.is_installed = lambda *modules: False
        if task.variant == "reference" and has_fast_option():
            self.options["fast"] = False
        device = xpnn.backend.Device.named(task.device)
        self.inputs, self.labels = (xpnn.to_device(rows, device) for rows in (task.inputs, task.labels))

    def start(self, steps: int, shuffle: bool) -> None:
        task, rows = self.task, slice(steps * self.task.case.batch)
        self.net = make_net(task.case, task.weights, task.device)
        shuffle = shuffle and task.case.optimizer != "seed"  # the textbook goes through the file in its order
        samples = self.inputs[rows], self.labels[rows]
        self.epochs = xpnn.train(self.net, samples, epochs=ENDLESS, shuffle=shuffle, **self.options)

    def run(self) -> None:
        self.path = next(self.epochs).step  # reads the epoch's totals, so that the device has finished

    def result(self) -> list[Any]:
        return [xpnn.to_host(part) for layer in self.net.layers for part in layer if part is not None]


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


def warm_step_memory(folder: Path, case: str) -> dict[str, Any]:
    """Most bytes that a warm step takes at any one time, by tracemalloc, which sees NumPy's arrays too.

    The least over some steps: what the interpreter does now and then in between is none of theirs.
    """
    chosen, peaks = parse_case(case), []

    def look(progress: Any) -> None:
        if tracemalloc.is_tracing():
            now, peak = tracemalloc.get_traced_memory()
            peaks.append(peak - now)
        else:
            tracemalloc.start()
        tracemalloc.reset_peak()

    rows = slice(20 * chosen.batch)
    inputs, labels = read_rows(folder, chosen.sizes[0])
    net, options = make_net(chosen, initial_weights(chosen)), options_of(chosen, chosen.rate)
    usual = np.setbufsize(16)  # NumPy's scratch for broadcasting, 8,192 elements whatever the arrays' size
    list(xpnn.train(net, (inputs[rows], labels[rows]), epochs=1, progress=look, **options))
    np.setbufsize(usual)
    tracemalloc.stop()
    return {"bytes": min(peaks[5:])}


OPEN: dict[str, Any] = {}  # between calls of `read_csv` and `learn_epoch`


def read_csv(folder: Path, path: str) -> dict[str, Any]:
    """What `xpnn train PATH --recipe seed` reads, and the time that it takes."""
    started = time.perf_counter()
    data = xpnn.load(path)
    seconds = time.perf_counter() - started
    recipe = xpnn.recipes.RECIPES["seed"]
    net = recipe.network(data.train.inputs.shape[1], data.labels)
    OPEN["epochs"] = recipe.train(net, data.train)
    return {"seconds": seconds}


def learn_epoch(folder: Path) -> dict[str, Any]:
    started = time.perf_counter()
    epoch = next(iter(OPEN["epochs"]))
    return {"seconds": time.perf_counter() - started, "path": epoch.step}


def accuracies(settings: Settings) -> Iterator[float]:
    """See `suite.accuracy`."""
    data = xpnn.load("mnist")
    net = xpnn.MLP(SIZES, seed=settings.seed, device=settings.device)
    steps = -(-len(data.train) // settings.batch)
    optimizer = xpnn.optimizers.adam(lambda numbers: settings.rates(numbers, steps))
    options = {"epochs": settings.epochs, "batch_size": settings.batch, "optimizer": optimizer, "seed": settings.seed}
    for epoch in xpnn.train(net, data.train, validation=data.test, **options):
        yield epoch.validation.accuracy
