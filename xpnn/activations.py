"""Activation functions: what a layer does to the sums z of its inputs.

Each is a pair of functions that work in place on arrays of shape (n, units):

    apply(z, column)                    z becomes y = f(z)
    backpropagate(error, y, column)     error becomes error * f'(z), written through y; y is spent

In-place work is what lets a training step run without allocating. `column`, shape (n, 1), is scratch for one
number a row. A new activation is one pair and one line in ACTIVATIONS: the command line's choices and the
tests are made from that table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from xpnn.backend import Array, xp_of


class Activation(NamedTuple):
    """A function and its derivative, both in place; see the module's docstring."""

    apply: Callable[[Array, Array], None]
    backpropagate: Callable[[Array, Array, Array], None]


def _identity(z: Array, column: Array) -> None:
    pass


def _identity_back(error: Array, y: Array, column: Array) -> None:
    pass


def _sigmoid(z: Array, column: Array) -> None:
    """1 / (1 + exp(-z))."""
    xp = xp_of(z)
    limit = 88.0 if z.itemsize == 4 else 709.0  # beyond it exp overflows; the value here is 0 or 1 to rounding
    xp.clip(z, -limit, limit, out=z)
    xp.negative(z, out=z)
    xp.exp(z, out=z)
    xp.add(z, 1, out=z)
    xp.reciprocal(z, out=z)


def _sigmoid_back(error: Array, y: Array, column: Array) -> None:
    """f' = y (1 - y)."""
    xp = xp_of(error, y)
    xp.multiply(error, y, out=error)
    xp.subtract(1, y, out=y)
    xp.multiply(error, y, out=error)


def _tanh(z: Array, column: Array) -> None:
    xp_of(z).tanh(z, out=z)


def _tanh_back(error: Array, y: Array, column: Array) -> None:
    """f' = 1 - y^2."""
    xp = xp_of(error, y)
    xp.multiply(y, y, out=y)
    xp.subtract(1, y, out=y)
    xp.multiply(error, y, out=error)


def _relu(z: Array, column: Array) -> None:
    """max(z, 0). Nair and Hinton, 2010."""
    xp_of(z).maximum(z, 0, out=z)


def _relu_back(error: Array, y: Array, column: Array) -> None:
    """f' = 1 where y > 0, else 0 (at z = 0 too, as is the custom)."""
    xp = xp_of(error, y)
    xp.greater(y, 0, out=y)
    xp.multiply(error, y, out=error)


def _softmax(z: Array, column: Array) -> None:
    """exp(z) / sum of exp(z) over the row; the row's maximum is taken off first, so that exp can't overflow."""
    xp = xp_of(z)
    xp.amax(z, axis=1, keepdims=True, out=column)
    xp.subtract(z, column, out=z)
    xp.exp(z, out=z)
    xp.sum(z, axis=1, keepdims=True, out=column)
    xp.divide(z, column, out=z)


def _softmax_back(error: Array, y: Array, column: Array) -> None:
    """The Jacobian is diag(y) - y y^T: error becomes y * (error - sum of error * y over the row)."""
    xp = xp_of(error, y)
    xp.multiply(error, y, out=error)
    xp.sum(error, axis=1, keepdims=True, out=column)
    xp.multiply(y, column, out=y)
    xp.subtract(error, y, out=error)


HIDDEN_ACTIVATIONS = {
    "identity": Activation(_identity, _identity_back),
    "relu": Activation(_relu, _relu_back),
    "sigmoid": Activation(_sigmoid, _sigmoid_back),
    "tanh": Activation(_tanh, _tanh_back),
}
ACTIVATIONS = HIDDEN_ACTIVATIONS | {"softmax": Activation(_softmax, _softmax_back)}  # softmax: at the output only
