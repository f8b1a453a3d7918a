"""Optimizers: a few lines of arithmetic on one flat vector.

The parameters, the gradient and each moment are vectors of the same layout, shape (P,). An optimizer is

    init(parameters) -> state                                   moments, by name; each like `parameters`
    coefficients(steps, rates) -> (c_0, c_1, ...)               the numbers that change from step to step
    update(gradient, state, parameters, coefficients) -> None   in place; the gradient is spent

`coefficients` is worked out on the host in float64 for a whole epoch (vectors of step numbers from 0 and of
learning rates); the training step hands `update` its own row as 0-d arrays on the device. Nothing that
changes is a Python number, so a recorded CUDA graph replays correctly, and powers like beta^t are exact.

No operation mixes elements, and none allocates: an optimizer that needs room keeps a vector called `scratch`
in its state. Moments are kept without constant factors, which saves passes over memory: M = m / (1 - beta) for
m <- beta m + (1 - beta) g; the factors move into the coefficients. docs/optimizers.md has each one's formula.

A new optimizer is one function and one line in OPTIMIZERS. The default of its `learning_rate` is its usual one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

from xpnn.optimizers.adaptive import adagrad, adam, adamw, nadam, radam, rmsprop
from xpnn.optimizers.descent import lion, momentum, nesterov, sgd
from xpnn.optimizers.optimizer import Optimizer, State, decoupled

__all__ = [
    "OPTIMIZERS",
    "Optimizer",
    "State",
    "adagrad",
    "adam",
    "adamw",
    "decoupled",
    "lion",
    "momentum",
    "nadam",
    "nesterov",
    "radam",
    "rmsprop",
    "settings_of",
    "sgd",
]

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    function.__name__: function
    for function in (adagrad, adam, adamw, lion, momentum, nadam, nesterov, radam, rmsprop, sgd)
}


def settings_of(name: str) -> dict[str, float]:
    """The settings that the optimizer called `name` takes, with their defaults: its usual learning rate is among them.

    Raises ValueError for an unknown name.
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"unknown optimizer {name!r}: choose from {', '.join(OPTIMIZERS)}")
    return {key: parameter.default for key, parameter in inspect.signature(OPTIMIZERS[name]).parameters.items()}
