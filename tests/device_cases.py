"""The cases in which devices, and the steps on them, are compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from formulas import ACTIVATION_NAMES, HIDDEN_NAMES, LOSS_NAMES
from numpy.typing import NDArray

from xpnn import Augmentation, Samples, optimizers
from xpnn.losses import loss_named
from xpnn.optimizers import OPTIMIZERS, Optimizer
from xpnn.regularization import Regularization

N, N_IN = 23, 6  # a batch of 5 leaves a ragged one of 3
BATCH = 5


class Case(NamedTuple):
    """A net and how it is trained."""

    sizes: tuple[int, ...] = (N_IN, 7, 4)
    net: dict[str, Any] = {}  # noqa: RUF012  never written to
    optimizer: Callable[[], Optimizer] = optimizers.sgd
    inputs: str = "floats"
    targets: str = "labels"
    step: dict[str, Any] = {}  # noqa: RUF012  never written to; options that `train` and the step share
    weights: bool = False
    options: dict[str, Any] = {}  # noqa: RUF012  never written to; options of `train`


def slow() -> Optimizer:
    return optimizers.sgd(0.001)  # squares of exponentials are large


CASES = {
    "softmax": Case(),
    "squared error behind softmax": Case(net={"loss": "squared-error"}),
    "deep": Case((N_IN, 7, 6, 5, 4), {"hidden": ("relu", "sigmoid", "tanh")}),
    "no hidden layer": Case((N_IN, 4)),
    "no biases": Case(net={"bias": False, "hidden": "identity"}),
    "binary": Case(net={"hidden": "tanh", "output": "sigmoid"}),
    "one output": Case((N_IN, 7, 1), {"output": "sigmoid"}, targets="numbers"),
    "one input": Case((1, 7, 4), {"hidden": "tanh"}),
    "regression": Case((N_IN, 7, 3), {"output": "identity"}, targets="numbers"),
    "probabilities": Case(targets="probabilities"),
    **{name: Case(optimizer=make) for name, make in OPTIMIZERS.items()},
    "rmsprop with momentum": Case(optimizer=lambda: optimizers.rmsprop(0.01, momentum=0.9)),
    "schedule": Case(optimizer=lambda: optimizers.sgd(lambda steps: 0.1 / (1 + steps))),
    "pixels": Case(inputs="pixels"),
    "scaled pixels": Case(net={"scaling": (0.99 / 255, 0.01)}, inputs="pixels"),
    "whole numbers as pixels": Case(inputs="whole numbers"),
    **{
        name: Case(
            net={"hidden": name, "output": output, "loss": "squared-error"},
            optimizer=slow if output == "exp" else optimizers.sgd,
        )
        for name, output in zip(HIDDEN_NAMES, reversed(ACTIVATION_NAMES), strict=False)
    },
    **{name: Case(net={"output": loss_named(name).link or "tanh", "loss": name}, weights=True) for name in LOSS_NAMES},
    "smoothed labels": Case(step={"label_smoothing": 0.1}),
    "smoothed probabilities": Case(targets="probabilities", step={"label_smoothing": 0.1}, weights=True),
    "balanced classes": Case(options={"class_weight": "balanced"}, weights=True),
    "book": Case(
        net={"hidden": "sigmoid", "output": "sigmoid", "loss": "squared-error", "target_range": (0.01, 0.99)},
        inputs="pixels",
        step={"error_rule": "book"},
    ),
    "book, deep": Case((N_IN, 7, 5, 4), {"output": "tanh", "bias": False}, step={"error_rule": "book"}),
    "penalties": Case(step={"regularization": Regularization(l1=1e-3, l2=1e-2)}),
    "decoupled decay": Case(optimizer=lambda: optimizers.decoupled(optimizers.sgd(), 0.1)),
    "dropout": Case((N_IN, 7, 5, 4), {"hidden": "tanh"}, step={"regularization": Regularization(dropout=0.5)}),
    "dropout of inputs": Case(inputs="pixels", step={"regularization": Regularization(input_dropout=0.2)}),
    "dropout, book": Case(step={"regularization": Regularization(dropout=0.5), "error_rule": "book"}),
    "noise": Case(step={"regularization": Regularization(input_noise=0.1)}),
    "limits": Case(step={"regularization": Regularization(max_norm=1, clip_norm=0.2, clip_value=0.1)}),
    "all of them": Case(
        (N_IN, 7, 5, 4), {"bias": False}, step={"regularization": Regularization(*[0.1] * 8), "average_decay": 0.9}
    ),
    "average": Case(step={"average_decay": 0.9}),
    "augmentation": Case((9, 7, 4), inputs="pixels", step={"augmentation": Augmentation(0.7, 10, 0.1, 5, 34, 1)}),
    "augmentation, noise, dropout": Case(
        (16, 7, 4),
        step={
            "augmentation": Augmentation(rotate=10, cutout=2),
            "regularization": Regularization(dropout=0.2, input_dropout=0.1, input_noise=0.1),
        },
    ),
}


def data_for(case: Case) -> tuple[NDArray[Any], NDArray[Any]]:
    generator = np.random.default_rng(1)
    n_in, n_out = case.sizes[0], case.sizes[-1]
    pixels = generator.integers(0, 256, (N, n_in))
    inputs = {"floats": generator.normal(size=(N, n_in)), "pixels": pixels.astype("uint8"), "whole numbers": pixels}
    numbers = generator.random((N, n_out))
    targets = {
        "labels": generator.integers(0, n_out, N),
        "numbers": numbers,
        "probabilities": numbers / numbers.sum(axis=1, keepdims=True),
    }
    return inputs[case.inputs], targets[case.targets]


def samples_for(case: Case) -> Samples:
    weights = np.random.default_rng(2).random(N) if case.weights else None
    return Samples(*data_for(case), weights)
