"""Losses: how wrong the outputs y are, beside the targets t, both of shape (n, n_out).

    loss(y, t, error, scratch, total)

writes the sum of the rows' losses into the 0-d array `total`, and dL/dy into `error`; `scratch` has y's shape.
The cross-entropies belong to one output activation each (their `link`): there the activation's derivative
cancels, and `error` is dL/dz = y - t at once, exact where y has saturated (Bishop, Pattern Recognition and
Machine Learning, 2006, section 4.3.6).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from xpnn.backend import Array, xp_of


class Loss(NamedTuple):
    """A loss function, and the only output activation that it goes with (None: any)."""

    evaluate: Callable[[Array, Array, Array, Array, Array], None]
    link: str | None


def _squared_error(y: Array, t: Array, error: Array, scratch: Array, total: Array) -> None:
    """L = 1/2 sum (y - t)^2."""
    xp = xp_of(y, t)
    xp.subtract(y, t, out=error)
    xp.multiply(error, error, out=scratch)
    xp.sum(scratch, out=total)
    xp.multiply(total, 0.5, out=total)


def _cross_entropy(y: Array, t: Array, error: Array, scratch: Array, total: Array) -> None:
    """L = -sum t log(y), y from softmax."""
    xp = xp_of(y, t)
    _log(y, scratch)
    xp.multiply(scratch, t, out=scratch)
    xp.sum(scratch, out=total)
    xp.negative(total, out=total)
    xp.subtract(y, t, out=error)


def _binary_cross_entropy(y: Array, t: Array, error: Array, scratch: Array, total: Array) -> None:
    """L = -sum t log(y) + (1 - t) log(1 - y), y from sigmoid."""
    xp = xp_of(y, t)
    _log(y, scratch)
    xp.subtract(1, y, out=error)
    _log(error, error)
    xp.subtract(scratch, error, out=scratch)
    xp.multiply(scratch, t, out=scratch)
    xp.add(scratch, error, out=scratch)  # t (log y - log(1 - y)) + log(1 - y)
    xp.sum(scratch, out=total)
    xp.negative(total, out=total)
    xp.subtract(y, t, out=error)


def _log(y: Array, out: Array) -> None:
    """log(y), where a y of 0 counts as the smallest normal number: the loss of a sure mistake stays finite."""
    xp = xp_of(y, out)
    xp.maximum(y, xp.finfo(y.dtype).tiny, out=out)
    xp.log(out, out=out)


LOSSES = {
    "binary-cross-entropy": Loss(_binary_cross_entropy, link="sigmoid"),
    "cross-entropy": Loss(_cross_entropy, link="softmax"),
    "squared-error": Loss(_squared_error, link=None),
}


def natural_loss(output: str) -> str:
    """The loss that an output activation is made for: the one that it links to, else the squared error."""
    return next((name for name, loss in LOSSES.items() if loss.link == output), "squared-error")
