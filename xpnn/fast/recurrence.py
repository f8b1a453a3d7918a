"""How gradient descent's parameters depend on the gradients of a block of updates: the a_kj of `xpnn.fast.deferred`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnn.backend import Array, as_floats


class Coefficients(NamedTuple):
    """How the first layer depends on the gradients of a block of K updates; (K + 1,), (K + 1, K), row k before step k.

    kept:      s_k, what weight decay has left of W.
    weights:   a_kj, biases: b_kj, how much of the gradient of step j has been taken off; 0 where j >= k.
    velocity:  c_k, how much of the velocity that the block began with has been taken off W.
    bias_velocity: the same of b.
    """

    kept: NDArray[np.float64]
    weights: NDArray[np.float64]
    biases: NDArray[np.float64]
    velocity: NDArray[np.float64]
    bias_velocity: NDArray[np.float64]


def coefficients(rates: NDArray[np.float64], shrinks: NDArray[np.float64], momentum: float) -> Coefficients:
    """Of a block with these learning rates and factors of weight decay, (K,)."""
    K = len(rates)
    kept = np.concatenate([[1.0], np.cumprod(shrinks)])
    steps = np.arange(K)
    ages = steps[:, None] - steps  # of gradient j in step s
    decay = np.where(ages >= 0, momentum ** np.maximum(ages, 0), 0.0)  # of it in the velocity
    start = momentum ** (steps + 1.0)  # of the first velocity

    def summed(terms: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.concatenate([np.zeros((1, *terms.shape[1:])), np.cumsum(terms, axis=0)])

    scaled = rates / kept[1:]
    weights = kept[:, None] * summed(scaled[:, None] * decay)
    return Coefficients(
        kept, weights, summed(rates[:, None] * decay), kept * summed(scaled * start), summed(rates * start)
    )


class Expanded(NamedTuple):
    """A block's coefficients, row by row, in the net's dtype, with the signs that the products want."""

    kept: Array | None  # (n, 1); None: 1
    weights: Array  # (n, n): what the Gram matrix is multiplied by
    biases: Array  # (n, n): what is added to it; with ones where a row meets itself
    velocity: Array  # (n, 1)
    bias_velocity: Array  # (n, 1)
    kept_last: float  # and what brings the layer up to date
    weights_last: Array  # (n, 1)
    biases_last: Array  # (n,)
    velocity_last: float
    bias_velocity_last: float
    aged: float  # what is left of the first velocity
    ages: Array  # (n, 1): what is left of each gradient in the last one


def expand(found: Coefficients, momentum: float, batch: int, n: int, bias: bool, dtype: str) -> Expanded:
    """The coefficients of batches of `batch` rows for each of a block's n rows; bias: whether the layer has biases."""
    of_row = np.arange(n) // batch
    K = len(found.kept) - 1

    def cast(values: NDArray[np.float64]) -> Array:
        return as_floats(values, dtype)

    weights, biases = (part[:-1][of_row][:, of_row] for part in (found.weights, found.biases))
    ages = np.power(momentum, K - 1.0 - of_row)
    return Expanded(
        kept=None if (found.kept == 1).all() else cast(found.kept[of_row][:, None]),
        weights=cast(-weights),
        biases=cast(np.eye(n) - biases * bias),
        velocity=cast(found.velocity[of_row][:, None]),
        bias_velocity=cast(found.bias_velocity[of_row][:, None]),
        kept_last=float(found.kept[-1]),
        weights_last=cast(found.weights[-1][of_row][:, None]),
        biases_last=cast(found.biases[-1][of_row]),
        velocity_last=float(found.velocity[-1]),
        bias_velocity_last=float(found.bias_velocity[-1]),
        aged=float(momentum**K),
        ages=cast(ages[:, None]),
    )
