"""The standard normal distribution from plain array operations: neither NumPy nor CuPy's core has an erf."""

from __future__ import annotations

from collections.abc import Sequence

from xpnn.backend import Array, xp_of

# With t = 2 / (2 + x), x >= 0:  erfc(x) = t exp(-x^2 + sum of c_k T_k(2 t - 1)), where half of c_0 counts.
# Press, Teukolsky, Vetterling, Flannery, Numerical Recipes, 3rd edition, 2007, section 6.2.2: the c_k.
_CHEBYSHEV = (
    *(-1.3026537197817094, 6.4196979235649026e-1, 1.9476473204185836e-2, -9.561514786808631e-3, -9.46595344482036e-4),
    *(3.66839497852761e-4, 4.2523324806907e-5, -2.0278578112534e-5, -1.624290004647e-6, 1.303655835580e-6),
    *(1.5626441722e-8, -8.5238095915e-8, 6.529054439e-9, 5.059343495e-9, -9.91364156e-10, -2.27365122e-10),
    *(9.6467911e-11, 2.394038e-12, -6.886027e-12, 8.94487e-13, 3.13092e-13, -1.12708e-13, 3.81e-16, 7.106e-15),
    *(-1.523e-15, -9.4e-17, 1.21e-16, -2.8e-17),
)


def _powers(chebyshev: Sequence[float]) -> tuple[float, ...]:
    """The same polynomial as coefficients of s^k, the highest first. They stay below 1: none cancels another."""
    powers = [0.0] * len(chebyshev)
    before, now = [0.0], [1.0]  # T_-1 may be anything that makes T_1 = s below
    for k, c in enumerate(chebyshev):
        for i, factor in enumerate(now):
            powers[i] += (c if k else c / 2) * factor
        doubled = [0.0, *((2 if k else 1) * factor for factor in now)]  # T_k+1 = 2 s T_k - T_k-1
        before, now = now, [a - b for a, b in zip(doubled, [*before, 0.0, 0.0], strict=False)]
    return tuple(reversed(powers))


POWERS = {4: _powers(_CHEBYSHEV[:14]), 8: _powers(_CHEBYSHEV)}  # by the bytes of a number: what it can hold
REACH = {4: 15.0, 8: 40.0}  # likewise: beyond it the density and the tail are 0 to rounding


def density_and_tail(z: Array, density: Array, tail: Array) -> None:
    """exp(-z^2 / 2) into `density`, and the share of the distribution beyond |z| into `tail`; |z| <= REACH.

    The tail's relative error is some 1e-15 where it matters (1e-14 at 1e-100) in float64.
    """
    xp = xp_of(z, density, tail)
    s, polynomial = density, tail
    xp.absolute(z, out=s)
    xp.multiply(s, 0.5**0.5, out=s)  # x = |z| / sqrt(2)
    xp.add(s, 2, out=s)
    xp.divide(4, s, out=s)
    xp.subtract(s, 1, out=s)  # 2 t - 1
    first, *rest = POWERS[z.itemsize]
    polynomial.fill(first)
    for factor in rest:
        xp.multiply(polynomial, s, out=polynomial)
        xp.add(polynomial, factor, out=polynomial)
    xp.exp(polynomial, out=tail)
    xp.add(s, 1, out=s)
    xp.multiply(tail, s, out=tail)
    xp.multiply(z, z, out=density)
    xp.multiply(density, -0.5, out=density)
    xp.exp(density, out=density)
    xp.multiply(tail, density, out=tail)
    xp.multiply(tail, 0.25, out=tail)  # t is (s + 1) / 2, and the tail erfc / 2
