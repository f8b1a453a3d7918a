"""Smooth gates: activations z times a share that rises from 0 to 1 with z.

Each is the `apply` of an activation that keeps its slope (see `xpnn.activations`): z becomes f(z), and saved[0] f'(z).
The formulas and their sources are in `docs/activations.md`.
"""

from __future__ import annotations

import math

from xpnn.backend import Array, xp_of
from xpnn.normal import REACH, density_and_tail


def gelu(z: Array, saved: Array, column: Array) -> None:
    """f = z P(z), P the normal distribution's share below z; f' = P(z) + z exp(-z^2 / 2) / sqrt(2 pi)."""
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


def gelu_tanh(z: Array, saved: Array, column: Array) -> None:
    """f = z (1 + tanh(u)) / 2 with u = sqrt(2 / pi) (z + 0.044715 z^3)."""
    factor, cubic = (2 / math.pi) ** 0.5, 0.044715
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


def silu(z: Array, saved: Array, column: Array) -> None:
    """f = z s with s = sigmoid(z); f' = s (1 + z (1 - s))."""
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


def mish(z: Array, saved: Array, column: Array) -> None:
    """f = z w with w = tanh(softplus(z)).

    With e = exp(z) and m = e (e + 2) + 2, w is (m - 2) / m and f' is w + 4 z e (e + 1) / m^2.
    """
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
