"""Activations and their derivatives, for compiled loops. A batch lies unit after unit: (units, rows)."""

from __future__ import annotations

from typing import Any

import numpy as np

from xpnn.fast.loops import as_written, compiled
from xpnn.fast.loops.intrinsics import power_of_two


@as_written
def exponentials(z: Any, less_one: bool) -> None:
    """z becomes e^z, or e^z - 1, to within two units in the last place; without branches, so that it vectorises.

    e^z = 2^k e^r, with the whole k that makes |r| <= log(2) / 2, and Taylor's series for e^r - 1 (Muller, Elementary
    Functions, 2016, chapter 11). Beyond the dtype's range, its ends; NaN stays NaN.
    """
    real = z.dtype.type
    is_single = z.itemsize == 4
    lowest, highest = (real(-87.0), real(88.0)) if is_single else (real(-708.0), real(709.0))
    per_octave, half, one = real(1.4426950408889634), real(0.5), real(1)
    # log(2) in two parts, the first short enough that k times it is exact
    long = real(0.693359375) if is_single else real(0.6931471803691238)
    short = real(-2.12194440054690583e-4) if is_single else real(1.9082149292705877e-10)
    c2, c3, c4, c5 = real(1 / 2), real(1 / 6), real(1 / 24), real(1 / 120)
    c6, c7, c8, c9 = real(1 / 720), real(1 / 5040), real(1 / 40320), real(1 / 362880)
    c10, c11, c12, c13 = real(1 / 3628800), real(1 / 39916800), real(1 / 479001600), real(1 / 6227020800)
    for i in range(z.size):
        x = z[i]
        inside = lowest if x < lowest else x
        inside = highest if inside > highest else inside
        k = np.floor(inside * per_octave + half)
        r = (inside - k * long) - k * short
        p = c12 + c13 * r
        p = c11 + p * r
        p = c10 + p * r
        p = c9 + p * r
        p = c8 + p * r
        p = c7 + p * r
        p = c6 + p * r
        p = c5 + p * r
        p = c4 + p * r
        p = c3 + p * r
        p = c2 + p * r
        p = r + r * r * p
        s = power_of_two(k)  # type: ignore[call-arg, var-annotated]  # Numba gives the context
        z[i] = s * p + (s - one if less_one else s)


@compiled
def apply(code: int, y: Any) -> None:
    """z (units, n) becomes y = f(z)."""
    flat = y.reshape(y.size)
    zero, one, two = y.dtype.type(0), y.dtype.type(1), y.dtype.type(2)
    if code == 1:
        for i in range(flat.size):
            if flat[i] < zero:  # not max, which may lose NaN
                flat[i] = zero
    elif code == 2:
        for i in range(flat.size):
            flat[i] = -flat[i]
        exponentials(flat, False)
        for i in range(flat.size):
            flat[i] = one / (one + flat[i])
    elif code == 3:
        for i in range(flat.size):
            flat[i] *= two
        exponentials(flat, True)
        for i in range(flat.size):
            flat[i] /= flat[i] + two
    elif code == 4:
        softmax(y)


@compiled
def softmax(y: Any) -> None:
    """Of each column."""
    units, n = y.shape
    column = y[0].copy()
    for i in range(1, units):
        for j in range(n):
            column[j] = y[i, j] if y[i, j] > column[j] else column[j]
    for i in range(units):
        for j in range(n):
            y[i, j] -= column[j]
    exponentials(y.reshape(y.size), False)
    column[:] = y.dtype.type(0)
    for i in range(units):
        for j in range(n):
            column[j] += y[i, j]
    for i in range(units):
        for j in range(n):
            y[i, j] /= column[j]


@compiled
def differentiate(code: int, error: Any, y: Any) -> None:
    """error becomes error * f', both (units, n)."""
    units, n = y.shape
    e, v = error.reshape(error.size), y.reshape(y.size)
    zero, one = y.dtype.type(0), y.dtype.type(1)
    if code == 1:
        for i in range(v.size):
            e[i] = e[i] if v[i] > zero else zero
    elif code == 2:
        for i in range(v.size):
            e[i] *= v[i] * (one - v[i])
    elif code == 3:
        for i in range(v.size):
            e[i] *= one - v[i] * v[i]
    elif code == 4:
        column = np.zeros(n, dtype=y.dtype)
        for i in range(units):
            for j in range(n):
                column[j] += error[i, j] * y[i, j]
        for i in range(units):
            for j in range(n):
                error[i, j] = y[i, j] * (error[i, j] - column[j])


@compiled
def weights_in(sizes: Any) -> int:
    """How many weights there are in a net of these sizes."""
    total = 0
    for layer in range(sizes.size - 1):
        total += sizes[layer] * sizes[layer + 1]
    return total
