"""Loops that Numba compiles, where it is installed (the extra `jit`), and when a run gains by them.

NumPy needs thirty calls for a batch, each of which costs more than the arithmetic of a small net, and passes over its
arrays as often. A loop needs one call, and few passes. Its results are NumPy's but for rounding.

Numba is imported, and a loop compiled, only for runs long enough to gain more than that costs. What it compiles is
kept on disk: it takes some seconds once, and a fraction of one from then on.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn.backend import Array
from xpnn.fast.block import momentum_of
from xpnn.network import MLP
from xpnn.optimizers import Optimizer, State
from xpnn.regularization import Regularization
from xpnn.steps import ReferenceStep

CODES = {"identity": 0, "relu": 1, "sigmoid": 2, "tanh": 3, "softmax": 4}
SECONDS_TO_GAIN = 0.5  # at least: importing Numba and SciPy and loading compiled loops takes about half of it
# What is gained, in seconds (docs/benchmarks.md)
OF_A_ROW = 15e-6  # in a deferred block
OF_A_BATCH = 40e-6  # in calls
OF_A_DEFERRED_BATCH = 20e-6
OF_A_PARAMETER = 0.25e-9  # by an update in one pass
OF_ADAMS_PARAMETER = 1.0e-9
NOTICE = "loading compiled loops (the first time they are compiled, which takes some seconds)"


def is_installed(*modules: str) -> bool:
    """Whether Numba is there, and not switched off, and these modules. They are not imported to find out."""
    is_on = os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0")
    return is_on and all(importlib.util.find_spec(name) is not None for name in ("numba", *modules))


def is_known(net: MLP) -> bool:
    """Whether the loops have the net's functions."""
    return {*net.hidden, net.output} <= CODES.keys() and net.loss_function.is_difference


def rows_pay(net: MLP, rows: int) -> bool:
    """Whether a run over so many rows, one at a time and deferred, gains by the loop."""
    return is_known(net) and rows * OF_A_ROW > SECONDS_TO_GAIN and is_installed()


def batches_pay(net: MLP, optimizer: Optimizer, regularization: Regularization, updates: int, defers: bool) -> bool:
    """Whether the loop over batches can do what is asked for, and a run of so many updates gains by it.

    defers: whether the deferred step would do it otherwise.
    """
    is_descent = momentum_of(optimizer) is not None
    touches = regularization.l1 or regularization.clip_norm or regularization.clip_value  # the gradient
    possible = (is_descent or is_adam(optimizer)) and not touches and is_known(net)
    of_update = net.parameters.size * (OF_A_PARAMETER if is_descent else OF_ADAMS_PARAMETER)
    gain = OF_A_DEFERRED_BATCH if defers else OF_A_BATCH + of_update
    return possible and updates * gain > SECONDS_TO_GAIN and is_installed("scipy")


def is_adam(optimizer: Optimizer) -> bool:
    """Adam or AdamW."""
    return optimizer.name in ("adam", "adamw") and {"beta1", "beta2"} <= optimizer.settings.keys()


def updating_pays(optimizer: Optimizer, net: MLP, updates: int) -> bool:
    """Whether a run of so many updates gains by the loop for Adam's."""
    gains = net.parameters.size * updates * OF_ADAMS_PARAMETER > SECONDS_TO_GAIN
    return is_adam(optimizer) and gains and is_installed()


def codes_of(net: MLP) -> NDArray[np.int64]:
    """(layers,): the CODES of the net's activations, the output's negative where the loss gives dL/dz."""
    codes = np.array([CODES[name] for name in (*net.hidden, net.output)])
    if net.loss_function.link:
        codes[-1] *= -1
    return codes


def with_compiled_update(net: MLP, optimizer: Optimizer, *rest: Any, **options: Any) -> ReferenceStep:
    """The reference step with the loop for Adam's update."""
    from xpnn.fast.loops import update_by_adam

    real = np.dtype(net.dtype).type
    betas, none = (optimizer.settings["beta1"], optimizer.settings["beta2"]), np.empty(0, dtype=net.dtype)
    shrink, l2 = real(1), real(0)  # the reference step sees to both
    update_by_adam(none, none, none, none, np.ones(4, dtype=net.dtype), shrink, l2)  # compiles it, or loads it

    def update(gradient: Array, state: State, parameters: Array, coefficients: Sequence[Array]) -> None:
        numbers = np.array([*betas, *coefficients], dtype=gradient.dtype)
        update_by_adam(gradient, state["first_moment"], state["second_moment"], parameters, numbers, shrink, l2)

    step = ReferenceStep(net, optimizer._replace(update=update), *rest, **options)
    step.name = "reference, compiled update"
    return step
