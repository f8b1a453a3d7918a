"""Losses: how wrong the outputs y are, beside the targets t, both of shape (n, n_out).

    loss(y, t, error, scratch, row_losses)

writes each row's loss into `row_losses` (n, 1), and dL/dy into `error`; `scratch` is three arrays of y's shape,
(SCRATCH, n, n_out). y and t are only read. Some losses belong to one output activation each (their `link`): there
the activation's derivative cancels, and `error` is dL/dz at once, exact where y has saturated (Bishop, Pattern
Recognition and Machine Learning, 2006, section 4.3.6). The formulas and their sources are in `docs/losses.md`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from xpnn.backend import Array, xp_of
from xpnn.errors import DataError
from xpnn.names import made

SCRATCH = 3


class Loss(NamedTuple):
    """A loss function, the only output activation that it goes with (None: any), and whether `error` is just y - t."""

    evaluate: Callable[[Array, Array, Array, Array, Array], None]
    link: str | None
    is_difference: bool = False

    @property
    def takes_probabilities(self) -> bool:
        """Whether its targets, as its outputs, lie from 0 to 1."""
        return self.link in ("sigmoid", "softmax")


def squared_error() -> Loss:
    """L = 1/2 sum (y - t)^2."""

    def evaluate(y: Array, t: Array, error: Array, scratch: Array, row_losses: Array) -> None:
        xp, square = xp_of(y, t), scratch[0]
        xp.subtract(y, t, out=error)
        xp.multiply(error, error, out=square)
        xp.sum(square, axis=1, keepdims=True, out=row_losses)
        xp.multiply(row_losses, 0.5, out=row_losses)

    return Loss(evaluate, link=None, is_difference=True)


def absolute_error() -> Loss:
    """L = sum |y - t|."""

    def evaluate(y: Array, t: Array, error: Array, scratch: Array, row_losses: Array) -> None:
        xp, size = xp_of(y, t), scratch[0]
        xp.subtract(y, t, out=error)
        xp.absolute(error, out=size)
        xp.sum(size, axis=1, keepdims=True, out=row_losses)
        xp.sign(error, out=error)

    return Loss(evaluate, link=None)


def huber(delta: float = 1.0) -> Loss:
    """L = sum of r^2 / 2 where |r| <= delta, else delta (|r| - delta / 2), with r = y - t."""
    if not 0 < delta < math.inf:
        raise ValueError(f"huber's delta must be a positive number, not {delta}")

    def evaluate(y: Array, t: Array, error: Array, scratch: Array, row_losses: Array) -> None:
        xp, r = xp_of(y, t), scratch[0]
        xp.subtract(y, t, out=r)
        xp.clip(r, -delta, delta, out=error)
        xp.multiply(r, 2, out=r)
        xp.subtract(r, error, out=r)
        xp.multiply(r, error, out=r)  # c (2 r - c), c being r within delta: both cases in one
        xp.sum(r, axis=1, keepdims=True, out=row_losses)
        xp.multiply(row_losses, 0.5, out=row_losses)

    return Loss(evaluate, link=None)


def cross_entropy() -> Loss:
    """L = -sum t log(y), y from softmax. dL/dz = y - t."""

    def evaluate(y: Array, t: Array, error: Array, scratch: Array, row_losses: Array) -> None:
        xp, log = xp_of(y, t), scratch[0]
        _log(y, log)
        xp.multiply(log, t, out=log)
        xp.sum(log, axis=1, keepdims=True, out=row_losses)
        xp.negative(row_losses, out=row_losses)
        xp.subtract(y, t, out=error)

    return Loss(evaluate, link="softmax", is_difference=True)


def binary_cross_entropy() -> Loss:
    """L = -sum t log(y) + (1 - t) log(1 - y), y from sigmoid. dL/dz = y - t."""

    def evaluate(y: Array, t: Array, error: Array, scratch: Array, row_losses: Array) -> None:
        xp, log = xp_of(y, t), scratch[0]
        _log(y, log)
        _log_of_rest(y, error)
        xp.subtract(log, error, out=log)
        xp.multiply(log, t, out=log)
        xp.add(log, error, out=log)  # t (log y - log(1 - y)) + log(1 - y)
        xp.sum(log, axis=1, keepdims=True, out=row_losses)
        xp.negative(row_losses, out=row_losses)
        xp.subtract(y, t, out=error)

    return Loss(evaluate, link="sigmoid", is_difference=True)


def focal(gamma: float = 2.0) -> Loss:
    """L = -sum t (1 - y)^gamma log(y), y from softmax.

    dL/dz = a - y sum(a), with a = y dL/dy = t (1 - y)^gamma (gamma y log(y) / (1 - y) - 1).
    """
    _check_gamma("focal", gamma)

    def evaluate(y: Array, t: Array, error: Array, scratch: Array, row_losses: Array) -> None:
        xp, (a, rest, weight) = xp_of(y, t), scratch
        _log(y, a)
        xp.subtract(1, y, out=rest)
        xp.power(rest, gamma, out=weight)
        xp.multiply(weight, t, out=weight)
        xp.multiply(weight, a, out=error)
        xp.sum(error, axis=1, keepdims=True, out=row_losses)
        xp.negative(row_losses, out=row_losses)
        xp.maximum(rest, xp.finfo(y.dtype).tiny, out=rest)  # at y = 1 the quotient is then 0, and its weight too
        xp.divide(a, rest, out=a)
        xp.multiply(a, y, out=a)
        xp.multiply(a, gamma, out=a)
        xp.subtract(a, 1, out=a)
        xp.multiply(a, weight, out=a)
        total = rest[:, :1]
        xp.sum(a, axis=1, keepdims=True, out=total)
        xp.multiply(y, total, out=error)
        xp.subtract(a, error, out=error)

    return Loss(evaluate, link="softmax")


def binary_focal(gamma: float = 2.0) -> Loss:
    """L = -sum t (1 - y)^gamma log(y) + (1 - t) y^gamma log(1 - y), y from sigmoid.

    dL/dz = t (1 - y)^gamma (gamma y log(y) + y - 1) + (1 - t) y^gamma (y - gamma (1 - y) log(1 - y)).
    """
    _check_gamma("binary-focal", gamma)

    def evaluate(y: Array, t: Array, error: Array, scratch: Array, row_losses: Array) -> None:
        xp, (log, weight, terms) = xp_of(y, t), scratch
        _log(y, log)
        xp.multiply(log, gamma, out=error)
        xp.add(error, 1, out=error)
        xp.multiply(error, y, out=error)
        xp.subtract(error, 1, out=error)
        xp.subtract(1, y, out=weight)
        xp.power(weight, gamma, out=weight)
        xp.multiply(weight, t, out=weight)
        xp.multiply(error, weight, out=error)
        xp.multiply(log, weight, out=terms)
        # the same for 1 - t and 1 - y
        xp.power(y, gamma, out=weight)
        xp.subtract(1, t, out=log)
        xp.multiply(weight, log, out=weight)
        _log_of_rest(y, log)
        xp.multiply(log, weight, out=log)
        xp.add(terms, log, out=terms)
        xp.sum(terms, axis=1, keepdims=True, out=row_losses)
        xp.negative(row_losses, out=row_losses)
        xp.multiply(weight, y, out=weight)
        xp.add(error, weight, out=error)
        xp.subtract(1, y, out=weight)
        xp.multiply(log, weight, out=log)
        xp.multiply(log, gamma, out=log)
        xp.subtract(error, log, out=error)

    return Loss(evaluate, link="sigmoid")


def poisson() -> Loss:
    """L = sum y - t + t log(t / y), half the deviance of a Poisson distribution, y from exp. dL/dz = y - t.

    t log(t / y) is worked out as t log1p(-(y - t) / y): where y is near t the terms cancel, and the logarithms of large
    counts would leave float32 no digits.
    """

    def evaluate(y: Array, t: Array, error: Array, scratch: Array, row_losses: Array) -> None:
        xp, (r, least, _) = xp_of(y, t), scratch
        limits = xp.finfo(y.dtype)
        xp.subtract(y, t, out=error)
        xp.maximum(t, 1, out=least)
        xp.multiply(least, limits.tiny, out=least)
        xp.maximum(y, least, out=r)  # a y of 0 counts as the smallest normal number, or t times that
        xp.minimum(r, limits.max, out=r)  # of an infinite y, which the error hands on, inf / inf would be no number
        xp.divide(error, r, out=r)
        xp.minimum(r, 1 - limits.epsneg, out=r)  # of t = 0 the logarithm counts for nothing, if it is finite
        xp.negative(r, out=r)
        xp.log1p(r, out=r)
        xp.multiply(r, t, out=r)
        xp.add(r, error, out=r)
        xp.sum(r, axis=1, keepdims=True, out=row_losses)

    return Loss(evaluate, link="exp", is_difference=True)


def _check_gamma(name: str, gamma: float) -> None:
    if not 0 <= gamma < math.inf:
        raise ValueError(f"{name}'s gamma must be 0 or more, not {gamma}")


def _log(y: Array, out: Array) -> None:
    """log(y), where a y of 0 counts as the smallest normal number: the loss of a sure mistake stays finite."""
    xp = xp_of(y, out)
    xp.maximum(y, xp.finfo(y.dtype).tiny, out=out)
    xp.log(out, out=out)


def _log_of_rest(y: Array, out: Array) -> None:
    """log(1 - y), where a y that was rounded to 1 counts as the middle between 1 and the number before it.

    Beyond that nothing is known of 1 - y: in float32 a sure mistake costs 17.3, wherever it lies in z > 17.
    """
    xp = xp_of(y, out)
    xp.subtract(1, y, out=out)
    xp.maximum(out, xp.finfo(y.dtype).epsneg / 2, out=out)
    xp.log(out, out=out)


LOSSES: dict[str, Callable[..., Loss]] = {
    "absolute-error": absolute_error,
    "binary-cross-entropy": binary_cross_entropy,
    "binary-focal": binary_focal,
    "cross-entropy": cross_entropy,
    "focal": focal,
    "huber": huber,
    "poisson": poisson,
    "squared-error": squared_error,
}


@cache
def loss_named(text: str) -> Loss:
    """The loss called "huber", say, or "huber:0.5". Raises ValueError for what is none, with the choices."""
    return made("loss", text, LOSSES)


def natural_loss(output: str) -> str:
    """The loss that an output activation is made for: the likelihood that it links to, else the squared error."""
    made_for = {"exp": "poisson", "sigmoid": "binary-cross-entropy", "softmax": "cross-entropy"}
    return made_for.get(output, "squared-error")


def check_loss(loss: str, output: str, target_range: tuple[float, float]) -> None:
    """Raise ValueError if these can't go together."""
    link, takes_probabilities = loss_named(loss).link, loss_named(loss).takes_probabilities
    if link not in (None, output):
        raise ValueError(
            f"the loss {loss} goes with {link} outputs only; set output to {link}, or loss to {natural_loss(output)}"
        )
    low, high = target_range
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"target_range must be two finite numbers, the lower first, not {target_range}")
    if (takes_probabilities and (low < 0 or high > 1)) or (link == "softmax" and target_range != (0.0, 1.0)):
        raise ValueError(f"with {loss} targets are probabilities; leave target_range at (0, 1)")
    if link == "exp" and low < 0:
        raise ValueError(f"with {loss} targets are 0 or more; leave target_range at (0, 1)")


def check_smoothing(loss: str, label_smoothing: float) -> None:
    """Raise ValueError if targets can't be smoothed so."""
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing must be 0 or more and below 1, not {label_smoothing}")
    if label_smoothing and not loss_named(loss).takes_probabilities:
        raise ValueError(f"label_smoothing goes with losses of probabilities, such as cross-entropy, not with {loss}")


def smoothed(targets: Array, loss: Loss, label_smoothing: float) -> Array:
    """(1 - e) t + e / K: a share e of the certainty spread over the K classes of a softmax, or a sigmoid's two.

    Szegedy et al., Rethinking the Inception Architecture, 2016, section 7.
    """
    if not label_smoothing:
        return targets
    return targets * (1 - label_smoothing) + label_smoothing / (targets.shape[1] if loss.link == "softmax" else 2)


def check_targets(targets: Array, loss: str) -> None:
    """Raise DataError unless the targets (n, n_out) are what the loss takes: probabilities, or 0 and more."""
    link, takes_probabilities = loss_named(loss).link, loss_named(loss).takes_probabilities
    if not link or not targets.size:
        return
    least = float(targets.min())
    if takes_probabilities and not (least >= 0 and float(targets.max()) <= 1):
        raise DataError(f"with {loss} targets are probabilities and must lie in 0-1")
    if least < 0:
        row = int((targets.min(axis=1) < 0).argmax())
        value = float(targets[row].min())
        raise DataError(
            f"with {loss} targets must be 0 or more, but row {row}, counted from 0, has {value:g}: correct it, or "
            "choose another loss"
        )
    if link == "softmax" and not bool((abs(targets.sum(axis=1) - 1) < 1e-3).all()):
        raise DataError(f"with {loss} the targets of a row are probabilities and must sum to 1")
