"""Activation functions: what a layer does to the sums z of its inputs.

Each is a pair of functions that work in place on arrays of shape (n, units):

    apply(z, saved, column)                 z becomes y = f(z)
    backpropagate(error, saved, column)     error becomes error * f'(z), from what apply left in `saved`; it is spent

In-place work is what lets a training step run without allocating. `column`, shape (n, 1), is scratch for one
number a row. What `saved` is depends on the activation (`saved_for` makes it):

- where f is worked out in place and f' had from y (sigmoid: y (1 - y)), `saved` is the very array z that becomes y;
- where that takes more memory, or digits (elu: y + alpha), the activation `keeps_slope`: `saved` is an array of its
  own, (1 + scratch, n, units), in which apply leaves f'(z) at saved[0]. The other `scratch` arrays are apply's, for
  what it works out on the way.

A new activation is one function that returns such a pair, and one line in ACTIVATIONS: the command line's choices
and the tests are made from that table. The formulas and their sources are in `docs/activations.md`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from xpnn import gates
from xpnn.backend import Array, exponential, xp_of
from xpnn.names import made


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
        limit = 88.0 if z.itemsize == 4 else 709.0  # beyond it exp(-z) overflows; the value here is 0 to rounding
        xp.maximum(z, -limit, out=z)
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


def exp() -> Activation:
    """f' = y. A z that is too large gives inf: a run that gets there is seen to diverge."""

    def apply(z: Array, saved: Array, column: Array) -> None:
        exponential(z)

    def backpropagate(error: Array, y: Array, column: Array) -> None:
        xp_of(error, y).multiply(error, y, out=error)

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
    "gelu": lambda: _keeping_slope(gates.gelu, scratch=2),
    "gelu-tanh": lambda: _keeping_slope(gates.gelu_tanh, scratch=2),
    "identity": identity,
    "leaky-relu": leaky_relu,
    "mish": lambda: _keeping_slope(gates.mish, scratch=3),
    "relu": relu,
    "selu": selu,
    "sigmoid": sigmoid,
    "silu": lambda: _keeping_slope(gates.silu, scratch=2),
    "softplus": softplus,
    "tanh": tanh,
}
# At the output only: softmax needs the whole row, and exp of exp overflows float32 from z = 4.5 on.
ACTIVATIONS = HIDDEN_ACTIVATIONS | {"exp": exp, "softmax": softmax}


@cache
def activation_named(text: str, hidden: bool = False) -> Activation:
    """The activation called "relu", say, or "leaky-relu:0.2". Raises ValueError for what is none, with the choices."""
    if hidden:
        return made("hidden activation", text, HIDDEN_ACTIVATIONS)
    return made("output activation", text, ACTIVATIONS)
