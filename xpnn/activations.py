"""Activation functions: what a layer does to the sums z of its inputs.

Each is a pair of functions that work in place on arrays of shape (n, units):

    apply(z, saved, column)                 z becomes y = f(z)
    backpropagate(error, saved, column)     error becomes error * f'(z), from what apply left in `saved`; it is spent

In-place work is what lets a training step run without allocating. `column`, shape (n, 1), is scratch for one
number a row. What `saved` is depends on the activation (`saved_for` makes it):

- where f' can be had from y (sigmoid: y (1 - y)), `saved` is the very array z that becomes y;
- where it can't, the activation `keeps_slope`: `saved` is an array of its own, (1 + scratch, n, units), in which
  apply leaves f'(z) at saved[0]. The other `scratch` arrays are apply's, for what it works out on the way.

A new activation is one function that returns such a pair, and one line in ACTIVATIONS: the command line's choices
and the tests are made from that table. The formulas and their sources are in `docs/activations.md`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from xpnn.backend import Array, xp_of
from xpnn.names import made
from xpnn.normal import REACH, density_and_tail


class Activation(NamedTuple):
    """A function and its derivative, both in place; see the module's docstring."""

    apply: Callable[[Array, Array, Array], None]
    backpropagate: Callable[[Array, Array, Array], None]
    keeps_slope: bool = False
    scratch: int = 0


def saved_for(activation: Activation, y: Array) -> Array:
    """The array to give an activation as `saved` along with y: y itself, or a new one."""
    return xp_of(y).empty((1 + activation.scratch, *y.shape), dtype=y.dtype) if activation.keeps_slope else y


def _multiply_by_slope(error: Array, saved: Array, column: Array) -> None:
    xp_of(error, saved).multiply(error, saved[0], out=error)


def _keeping_slope(apply: Callable[[Array, Array, Array], None], scratch: int = 0) -> Activation:
    return Activation(apply, _multiply_by_slope, keeps_slope=True, scratch=scratch)


def identity() -> Activation:
    """f = z."""

    def nothing(array: Array, saved: Array, column: Array) -> None:
        pass

    return Activation(nothing, nothing)


def sigmoid() -> Activation:
    """f = 1 / (1 + exp(-z)), f' = y (1 - y)."""

    def apply(z: Array, saved: Array, column: Array) -> None:
        xp = xp_of(z)
        limit = 88.0 if z.itemsize == 4 else 709.0  # beyond it exp overflows; the value here is 0 or 1 to rounding
        xp.clip(z, -limit, limit, out=z)
        xp.negative(z, out=z)
        xp.exp(z, out=z)
        xp.add(z, 1, out=z)
        xp.reciprocal(z, out=z)

    def backpropagate(error: Array, y: Array, column: Array) -> None:
        xp = xp_of(error, y)
        xp.multiply(error, y, out=error)
        xp.subtract(1, y, out=y)
        xp.multiply(error, y, out=error)

    return Activation(apply, backpropagate)


def tanh() -> Activation:
    """f' = 1 - y^2."""

    def apply(z: Array, saved: Array, column: Array) -> None:
        xp_of(z).tanh(z, out=z)

    def backpropagate(error: Array, y: Array, column: Array) -> None:
        xp = xp_of(error, y)
        xp.multiply(y, y, out=y)
        xp.subtract(1, y, out=y)
        xp.multiply(error, y, out=error)

    return Activation(apply, backpropagate)


def softplus() -> Activation:
    """f = log(1 + exp(z)) = max(z, 0) + log(1 + exp(-|z|)), f' = 1 - exp(-y)."""

    def apply(z: Array, saved: Array, column: Array) -> None:
        xp, (slope,) = xp_of(z, saved), saved
        xp.absolute(z, out=slope)
        xp.negative(slope, out=slope)
        xp.exp(slope, out=slope)
        xp.log1p(slope, out=slope)
        xp.maximum(z, 0, out=z)
        xp.add(z, slope, out=z)
        xp.negative(z, out=slope)
        xp.expm1(slope, out=slope)
        xp.negative(slope, out=slope)

    return _keeping_slope(apply)


def relu() -> Activation:
    """f = max(z, 0), f' = 1 where y > 0, else 0 (at z = 0 too, as is the custom)."""

    def apply(z: Array, saved: Array, column: Array) -> None:
        xp_of(z).maximum(z, 0, out=z)

    def backpropagate(error: Array, y: Array, column: Array) -> None:
        xp = xp_of(error, y)
        xp.greater(y, 0, out=y)
        xp.multiply(error, y, out=error)

    return Activation(apply, backpropagate)


def leaky_relu(slope: float = 0.01) -> Activation:
    """f = z where z > 0, else slope z."""
    if not 0 < slope < 1:
        raise ValueError(f"leaky-relu's slope must lie between 0 and 1, not {slope}")

    def apply(z: Array, saved: Array, column: Array) -> None:
        xp, (slopes,) = xp_of(z, saved), saved
        xp.greater(z, 0, out=slopes)
        xp.multiply(slopes, 1 - slope, out=slopes)
        xp.add(slopes, slope, out=slopes)
        xp.multiply(z, slopes, out=z)

    return _keeping_slope(apply)


def elu(alpha: float = 1.0) -> Activation:
    """f = z where z > 0, else alpha (exp(z) - 1)."""
    if not 0 < alpha < math.inf:
        raise ValueError(f"elu's alpha must be a positive number, not {alpha}")
    return _scaled_elu(alpha, 1.0)


def selu() -> Activation:
    """f = scale elu(z), with the two numbers that make mean 0 and variance 1 a fixed point."""
    return _scaled_elu(alpha=1.6732632423543772, scale=1.0507009873554805)


def _scaled_elu(alpha: float, scale: float) -> Activation:
    """y = scale (max(z, 0) + e) with e = alpha (exp(min(z, 0)) - 1); y' = scale where z > 0, else scale (e + alpha)."""

    def apply(z: Array, saved: Array, column: Array) -> None:
        xp, (slope, positive) = xp_of(z, saved), saved
        xp.greater(z, 0, out=positive)
        xp.minimum(z, 0, out=slope)
        xp.expm1(slope, out=slope)
        xp.multiply(slope, alpha * scale, out=slope)
        xp.maximum(z, 0, out=z)
        if scale != 1:
            xp.multiply(z, scale, out=z)
        xp.add(z, slope, out=z)
        xp.multiply(positive, scale * (1 - alpha), out=positive)
        xp.add(positive, scale * alpha, out=positive)
        xp.add(slope, positive, out=slope)

    return _keeping_slope(apply, scratch=1)


def gelu() -> Activation:
    """f = z P(z), P the normal distribution's share below z; f' = P(z) + z exp(-z^2 / 2) / sqrt(2 pi)."""

    def apply(z: Array, saved: Array, column: Array) -> None:
        xp, (slope, density, within) = xp_of(z, saved), saved
        reach = REACH[z.itemsize]
        xp.maximum(z, -reach, out=z)  # -inf times a share of 0 is no number
        xp.minimum(z, reach, out=within)
        density_and_tail(within, density, tail=slope)
        xp.multiply(density, within, out=density)
        xp.multiply(density, (2 * math.pi) ** -0.5, out=density)
        xp.greater(within, 0, out=within)
        xp.subtract(within, slope, out=slope)
        xp.absolute(slope, out=slope)  # P: the tail below 0, 1 - tail above
        xp.multiply(z, slope, out=z)
        xp.add(slope, density, out=slope)

    return _keeping_slope(apply, scratch=2)


def gelu_tanh() -> Activation:
    """f = z (1 + tanh(u)) / 2 with u = sqrt(2 / pi) (z + 0.044715 z^3)."""
    factor, cubic = (2 / math.pi) ** 0.5, 0.044715

    def apply(z: Array, saved: Array, column: Array) -> None:
        xp, (slope, within, square) = xp_of(z, saved), saved
        xp.maximum(z, -10, out=z)  # tanh(u) is -1 or 1 to rounding from |z| = 8 on
        xp.minimum(z, 10, out=within)
        xp.multiply(within, within, out=square)
        xp.multiply(square, cubic, out=slope)
        xp.add(slope, 1, out=slope)
        xp.multiply(slope, within, out=slope)
        xp.multiply(slope, factor, out=slope)
        xp.tanh(slope, out=slope)
        xp.multiply(square, 3 * cubic, out=square)
        xp.add(square, 1, out=square)
        xp.multiply(square, within, out=square)
        xp.multiply(square, factor / 2, out=square)  # z u' / 2
        xp.multiply(slope, slope, out=within)
        xp.subtract(1, within, out=within)
        xp.multiply(square, within, out=square)  # z u' (1 - tanh(u)^2) / 2
        xp.multiply(slope, 0.5, out=slope)
        xp.add(slope, 0.5, out=slope)
        xp.multiply(z, slope, out=z)
        xp.add(slope, square, out=slope)

    return _keeping_slope(apply, scratch=2)


def silu() -> Activation:
    """f = z s with s = sigmoid(z); f' = s (1 + z (1 - s))."""

    def apply(z: Array, saved: Array, column: Array) -> None:
        xp, (slope, within, rest) = xp_of(z, saved), saved
        limit = 88.0 if z.itemsize == 4 else 709.0  # as sigmoid's
        xp.maximum(z, -limit, out=z)
        xp.minimum(z, limit, out=within)
        xp.negative(within, out=slope)
        xp.exp(slope, out=slope)
        xp.add(slope, 1, out=slope)
        xp.reciprocal(slope, out=slope)
        xp.multiply(z, slope, out=z)
        xp.subtract(1, slope, out=rest)
        xp.multiply(rest, within, out=rest)
        xp.add(rest, 1, out=rest)
        xp.multiply(slope, rest, out=slope)

    return _keeping_slope(apply, scratch=2)


def mish() -> Activation:
    """f = z w with w = tanh(softplus(z)).

    With e = exp(z) and m = e (e + 2) + 2, w is (m - 2) / m and f' is w + 4 z e (e + 1) / m^2.
    """

    def apply(z: Array, saved: Array, column: Array) -> None:
        xp, (slope, within, w, m) = xp_of(z, saved), saved
        low, high = (-88.0, 20.0) if z.itemsize == 4 else (-709.0, 40.0)  # w is 1 to rounding above, m^2 is finite
        xp.maximum(z, low, out=z)
        xp.minimum(z, high, out=within)
        xp.exp(within, out=slope)
        xp.add(slope, 2, out=w)
        xp.multiply(w, slope, out=w)
        xp.add(w, 2, out=m)
        xp.subtract(w, slope, out=slope)  # e (e + 2) - e
        xp.divide(slope, m, out=slope)
        xp.divide(slope, m, out=slope)
        xp.multiply(slope, 4, out=slope)
        xp.multiply(slope, within, out=slope)
        xp.divide(w, m, out=w)
        xp.multiply(z, w, out=z)
        xp.add(slope, w, out=slope)

    return _keeping_slope(apply, scratch=3)


def softmax() -> Activation:
    """f = exp(z) / sum of exp(z) over the row; its Jacobian is diag(y) - y y^T."""

    def apply(z: Array, saved: Array, column: Array) -> None:
        xp = xp_of(z)
        xp.amax(z, axis=1, keepdims=True, out=column)
        xp.subtract(z, column, out=z)  # the quotient stays the same, and exp can't overflow
        xp.exp(z, out=z)
        xp.sum(z, axis=1, keepdims=True, out=column)
        xp.divide(z, column, out=z)

    def backpropagate(error: Array, y: Array, column: Array) -> None:
        """y * (error - sum of error * y over the row)."""
        xp = xp_of(error, y)
        xp.multiply(error, y, out=error)
        xp.sum(error, axis=1, keepdims=True, out=column)
        xp.multiply(y, column, out=y)
        xp.subtract(error, y, out=error)

    return Activation(apply, backpropagate)


HIDDEN_ACTIVATIONS: dict[str, Callable[..., Activation]] = {
    "elu": elu,
    "gelu": gelu,
    "gelu-tanh": gelu_tanh,
    "identity": identity,
    "leaky-relu": leaky_relu,
    "mish": mish,
    "relu": relu,
    "selu": selu,
    "sigmoid": sigmoid,
    "silu": silu,
    "softplus": softplus,
    "tanh": tanh,
}
ACTIVATIONS = HIDDEN_ACTIVATIONS | {"softmax": softmax}  # softmax: at the output only


@cache
def activation_named(text: str, hidden: bool = False) -> Activation:
    """The activation called "relu", say, or "leaky-relu:0.2". Raises ValueError for what is none, with the choices."""
    if hidden:
        return made("hidden activation", text, HIDDEN_ACTIVATIONS)
    return made("output activation", text, ACTIVATIONS)
