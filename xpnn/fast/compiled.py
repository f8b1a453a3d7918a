"""Loops that Numba compiles, where it is installed (the extra `jit`): the inside of a deferred step, and Adam's update.

NumPy needs about thirty calls for a sample of a small net, each of which costs more than its arithmetic; and Adam's
update passes ten times over memory. A loop needs one call, and one pass. Its results are NumPy's but for rounding.

Numba is imported, and a loop compiled, only for runs long enough to gain more than that costs. What it compiles is
kept on disk: it takes a few seconds once, and a fraction of one from then on.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

import numpy as np

from xpnn.backend import Array
from xpnn.network import MLP
from xpnn.optimizers import Optimizer, State

CODES = {"identity": 0, "relu": 1, "sigmoid": 2, "tanh": 3, "softmax": 4}
SECONDS_TO_GAIN = 1.0  # at least: importing Numba and loading compiled loops takes about half of it
ADAM_GAIN = 1.0e-9  # seconds a parameter and update, measured (docs/benchmarks.md)
LARGEST_LATER = 20_000  # weights of all layers but the first, times the rows of a batch
LEARN_GAIN = 12e-6  # seconds a row
NOTICE = "loading compiled loops (the first time they are compiled, which takes a few seconds)"


def is_installed() -> bool:
    """Whether Numba is there. It is not imported to find out."""
    return importlib.util.find_spec("numba") is not None


def updating_pays(optimizer: Optimizer, net: MLP, updates: int) -> bool:
    """Whether the optimizer is one of Adam's, and a run of so many updates of a net on the CPU gains by the loop."""
    is_adam = optimizer.name in ("adam", "adamw") and {"beta1", "beta2"} <= optimizer.settings.keys()
    gains = net.parameters.size * updates * ADAM_GAIN > SECONDS_TO_GAIN
    return is_adam and gains and net.device.kind == "cpu" and is_installed()


def with_compiled_update(optimizer: Optimizer, net: MLP) -> Optimizer:
    """Adam with the loop for its update."""
    beta1, beta2 = optimizer.settings["beta1"], optimizer.settings["beta2"]
    from xpnn.fast.loops import adam

    nothing = np.empty(0, dtype=net.dtype)
    adam(nothing, nothing, nothing, nothing, np.ones(4, dtype=net.dtype))  # compiles it, or loads it

    def update(gradient: Array, state: State, parameters: Array, coefficients: Sequence[Array]) -> None:
        numbers = np.array([beta1, beta2, *coefficients], dtype=gradient.dtype)
        adam(gradient, state["first_moment"], state["second_moment"], parameters, numbers)

    return optimizer._replace(update=update)


def learning_pays(net: MLP, batch_size: int, rows: int) -> bool:
    """Whether the loop over deferred batches knows the net, and a run over so many rows gains by it.

    The loop saves NumPy's calls, of which a batch has thirty; but for large later layers NumPy's products are quicker.
    """
    known = {*net.hidden, net.output} <= CODES.keys() and net.loss_function.is_difference
    later = (net.weights.size - net.layers[0].W.size) * batch_size
    return known and later <= LARGEST_LATER and rows * LEARN_GAIN > SECONDS_TO_GAIN and is_installed()
