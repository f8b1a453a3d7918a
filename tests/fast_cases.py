"""The cases in which the fast steps are compared with the reference."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from formulas import HIDDEN_NAMES, LOSS_NAMES
from numpy.typing import NDArray

from xpnn import MLP, DivergenceError, Regularization, Samples, optimizers, to_host, train
from xpnn.losses import loss_named
from xpnn.schedules import linear

N, N_IN = 147, 7  # with blocks of 128 rows a ragged block, and with batches of 5 a ragged batch


class Case(NamedTuple):
    """A net and how it is trained."""

    sizes: tuple[int, ...] = (N_IN, 6, 4)
    net: dict[str, Any] = {}  # noqa: RUF012  never written to
    optimizer: optimizers.Optimizer = optimizers.sgd(0.1)
    batch_size: int = 1
    options: dict[str, Any] = {}  # noqa: RUF012  never written to
    pixels: bool = False
    weights: bool = False


DECAY = optimizers.decoupled(optimizers.sgd(0.1), 0.3)
FALLING = optimizers.sgd(linear(0.2, 3 * N))
CASES = {
    **{f"batches of {size}": Case(batch_size=size) for size in (1, 2, 3, 5, 8, 16)},
    **{
        f"momentum, batches of {size}": Case(optimizer=optimizers.momentum(0.01), batch_size=size) for size in (1, 2, 8)
    },
    **{f"depth {len(sizes) - 2}": Case(sizes) for sizes in [(N_IN, 4), (N_IN, 6, 5, 4), (N_IN, 6, 5, 5, 4)]},
    **{f"depth {len(sizes) - 2}, batches": Case(sizes, batch_size=3) for sizes in [(N_IN, 4), (N_IN, 6, 5, 4)]},
    **{f"hidden {name}": Case(net={"hidden": name}, batch_size=2) for name in HIDDEN_NAMES},
    **{
        f"loss {name}": Case(net={"loss": name, "output": loss_named(name).link or "tanh"}, batch_size=2)
        for name in LOSS_NAMES
    },
    "no biases": Case(net={"bias": False}),
    "no biases, momentum": Case(net={"bias": False}, optimizer=optimizers.momentum(0.01)),
    "one output": Case((N_IN, 6, 1), {"output": "sigmoid"}),
    "weight decay": Case(optimizer=DECAY),
    "weight decay, batches, no biases": Case(net={"bias": False}, optimizer=DECAY, batch_size=3),
    "weight decay and momentum": Case(optimizer=optimizers.decoupled(optimizers.momentum(0.01), 0.3), batch_size=2),
    "l2": Case(options={"regularization": Regularization(l2=0.2)}),
    "l2 and weight decay": Case(optimizer=DECAY, options={"regularization": Regularization(l2=0.2)}),
    "falling rate": Case(optimizer=FALLING),
    "falling rate, momentum, decay": Case(
        optimizer=optimizers.decoupled(optimizers.momentum(linear(0.01, 3 * N)), 0.1), batch_size=2
    ),
    "book": Case(
        net={"hidden": "sigmoid", "output": "sigmoid", "loss": "squared-error"}, options={"error_rule": "book"}
    ),
    "book, deep": Case((N_IN, 6, 5, 4), {"output": "tanh"}, batch_size=2, options={"error_rule": "book"}),
    "in order": Case(options={"shuffle": False}),
    "smoothed labels": Case(options={"label_smoothing": 0.2}),
    "weights": Case(weights=True, batch_size=2),
    "weights, focal": Case(net={"loss": "focal"}, weights=True),
    "class weights": Case(options={"class_weight": [1, 2, 0.5, 1]}),
    "pixels": Case(pixels=True),
    "more rows a batch than rows": Case(batch_size=8, options={"shuffle": False}),
}


def samples_for(case: Case) -> Samples:
    generator = np.random.default_rng(1)
    inputs = generator.normal(size=(N, case.sizes[0]))
    if case.pixels:
        inputs = generator.integers(0, 256, inputs.shape).astype("uint8")
    n_out = case.sizes[-1]
    targets = generator.integers(0, n_out, N) if n_out > 1 else generator.random((N, 1))
    return Samples(inputs, targets, generator.random(N) if case.weights else None)


def trained(
    case: Case, dtype: str, fast: bool, factor: float = 1.0, step: str = "deferred", device: str = "cpu"
) -> tuple[NDArray[Any], NDArray[Any]]:
    """(the parameters, the records' losses and accuracies) after three epochs; `factor` sabotages the rate."""
    net = MLP(case.sizes, **case.net, device=device, dtype=dtype, seed=3)
    schedule = case.optimizer.schedule
    optimizer = case.optimizer._replace(schedule=lambda steps: factor * schedule(steps))
    options: dict[str, Any] = {"epochs": 3, "batch_size": case.batch_size} | case.options
    epochs = list(train(net, samples_for(case), optimizer=optimizer, fast=fast, **options))
    assert {epoch.step for epoch in epochs} == {step if fast else "reference"}
    return to_host(net.parameters), np.array([(epoch.loss, epoch.accuracy or 0) for epoch in epochs])


def distance(a: NDArray[Any], b: NDArray[Any]) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def divergence(batch_size: int, fast: bool) -> str:
    """What is said of a run that diverges in the middle of its first epoch."""
    net = MLP([N_IN, 6, 4], output="identity", hidden="identity", seed=3)
    with pytest.raises(DivergenceError) as caught:
        list(train(net, samples_for(Case()), batch_size=batch_size, optimizer=optimizers.sgd(8.0), fast=fast))
    return str(caught.value)
