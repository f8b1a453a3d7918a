"""Initial weights. They are drawn on the host in float64, so that one seed starts the same net on every device.

Each draws a weight matrix W of shape (n_out, n_in) whose variance is chosen so that signals (and, for glorot,
errors) keep their size from layer to layer:

    lecun    1 / n_in               LeCun et al., Efficient BackProp, 1998, section 4.6
    glorot   2 / (n_in + n_out)     Glorot and Bengio, 2010, equation 16
    he       2 / n_in               He et al., 2015, equation 10; for relu and its like, which pass half of a signal
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

# The generator in quotes, or `import xpnn` would load all of NumPy's.
Initializer: TypeAlias = Callable[["np.random.Generator", int, int], NDArray[Any]]


def _normal(variance: Callable[[int, int], float]) -> Initializer:
    def draw(generator: np.random.Generator, n_out: int, n_in: int) -> NDArray[Any]:
        return generator.normal(0.0, variance(n_out, n_in) ** 0.5, (n_out, n_in))

    return draw


def _uniform(variance: Callable[[int, int], float]) -> Initializer:
    def draw(generator: np.random.Generator, n_out: int, n_in: int) -> NDArray[Any]:
        limit = (3 * variance(n_out, n_in)) ** 0.5  # the variance of uniform(-a, a) is a^2 / 3
        return generator.uniform(-limit, limit, (n_out, n_in))

    return draw


def _lecun(n_out: int, n_in: int) -> float:
    return 1 / n_in


def _glorot(n_out: int, n_in: int) -> float:
    return 2 / (n_in + n_out)


def _he(n_out: int, n_in: int) -> float:
    return 2 / n_in


INITIALIZERS = {
    "glorot-normal": _normal(_glorot),
    "glorot-uniform": _uniform(_glorot),
    "he-normal": _normal(_he),
    "he-uniform": _uniform(_he),
    "lecun-normal": _normal(_lecun),
    "lecun-uniform": _uniform(_lecun),
}


_USUAL = dict.fromkeys(("elu", "gelu", "gelu-tanh", "leaky-relu", "mish", "relu", "silu"), "he-normal") | {
    "selu": "lecun-normal"  # Klambauer et al., 2017: its fixed point is of weights of variance 1 / n_in
}


def seeded(seed: int) -> np.random.Generator:
    """The generator of the initial weights: a stream of its own, apart from the shuffles of the same seed.

    Raises ValueError for what is no whole number of 0 or more.
    """
    if not isinstance(seed, Integral) or seed < 0:
        raise ValueError(f"seed must be a whole number of 0 or more, not {seed!r}")
    return np.random.default_rng([1, seed])


def usual_initializer(activation: str) -> str:
    """The usual choice for the layer below an activation: what its paper starts from, else glorot-uniform."""
    return _USUAL.get(activation.split(":", maxsplit=1)[0], "glorot-uniform")
