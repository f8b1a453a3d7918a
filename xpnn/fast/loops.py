"""The loops themselves, for Numba. Imported only where they are used: see `xpnn.fast.compiled`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

# Sums may be reordered and products fused, which vectorises them. NaN stays NaN: a run that diverges is to be seen.
REORDER = {"reassoc", "contract", "nsz", "arcp"}
compiled = njit(cache=True, fastmath=REORDER, error_model="numpy")


@compiled
def adam(gradient: Any, first: Any, second: Any, parameters: Any, numbers: Any) -> None:
    """One update, as `xpnn.optimizers.adam` has it; numbers: beta1, beta2, and the two coefficients of the step."""
    beta1, beta2, rate, small = numbers[0], numbers[1], numbers[2], numbers[3]
    for i in range(gradient.size):
        g = gradient[i]
        m = beta1 * first[i] + g
        v = beta2 * second[i] + g * g
        first[i] = m
        second[i] = v
        parameters[i] -= rate * (m / (np.sqrt(v) + small))


@compiled
def apply(code: int, y: Any, units: int, one: Any) -> None:
    """z becomes y = f(z), for a row."""
    if code == 1:
        for i in range(units):
            if y[i] < one - one:  # not max, which may lose NaN
                y[i] = one - one
    elif code == 2:
        for i in range(units):
            y[i] = one / (one + np.exp(-y[i]))
    elif code == 3:
        for i in range(units):
            y[i] = np.tanh(y[i])
    elif code == 4:
        largest = y[0]
        for i in range(1, units):
            largest = max(largest, y[i])
        total = one - one
        for i in range(units):
            y[i] = np.exp(y[i] - largest)
            total += y[i]
        for i in range(units):
            y[i] /= total


@compiled
def differentiate(code: int, error: Any, y: Any, units: int, one: Any) -> None:
    """error becomes error * f'."""
    if code == 1:
        for i in range(units):
            if not y[i] > one - one:
                error[i] = one - one
    elif code == 2:
        for i in range(units):
            error[i] *= y[i] * (one - y[i])
    elif code == 3:
        for i in range(units):
            error[i] *= one - y[i] * y[i]
    elif code == 4:
        total = one - one
        for i in range(units):
            total += error[i] * y[i]
        for i in range(units):
            error[i] = y[i] * (error[i] - total)


@compiled
def learn(
    gram: Any,
    deltas: Any,
    t: Any,
    answers: Any,
    weights: Any,
    parameters: Any,
    velocity: Any,
    sizes: Any,
    codes: Any,
    flags: Any,
    rates: Any,
    shrinks: Any,
    numbers: Any,
    y: Any,
    error: Any,
) -> None:
    """The batches of a deferred block, one after another: what `DeferredStep._learn` does for each.

    weights:    (rows, 1), or (0, 1) where all count the same.
    velocity:   as `parameters`, or (0,) without momentum.
    sizes:      (layers + 1,); codes: (layers,) of CODES, the output's negative where the loss gives dL/dz.
    flags:      whether there are biases; whether the book's rule sends errors back instead of deltas; rows a batch.
    numbers:    0, 1 and the momentum, in the net's dtype.
    y, error:   work arrays, (layers, rows a batch, units of the largest layer).
    """
    zero, one, momentum = numbers[0], numbers[1], numbers[2]
    layers, rows = codes.size, t.shape[0]
    has_biases, book, batch = flags[0] > 0, flags[1] > 0, flags[2]
    last = layers - 1
    all_weights = 0
    for layer in range(layers):
        all_weights += sizes[layer] * sizes[layer + 1]
    for k in range(rates.size):
        start, stop = k * batch, min(k * batch + batch, rows)
        for row in range(start, stop):
            r = row - start
            h = y[0, r]
            for i in range(sizes[1]):
                h[i] = deltas[row, i]
            for j in range(start):
                g = gram[row, j]
                for i in range(sizes[1]):
                    h[i] += g * deltas[j, i]
            apply(abs(codes[0]), h, sizes[1], one)
            W, b = sizes[0] * sizes[1], all_weights + sizes[1]
            for layer in range(1, layers):
                n_in, n_out = sizes[layer], sizes[layer + 1]
                below, above = y[layer - 1, r], y[layer, r]
                for o in range(n_out):
                    total = parameters[b + o] if has_biases else zero
                    for i in range(n_in):
                        total += parameters[W + o * n_in + i] * below[i]
                    above[o] = total
                apply(abs(codes[layer]), above, n_out, one)
                W += n_in * n_out
                b += n_out
            scale = one / (stop - start)
            if weights.shape[0]:
                scale *= weights[row, 0]
            for o in range(sizes[layers]):
                answers[row, o] = y[last, r, o]
                error[last, r, o] = (y[last, r, o] - t[row, o]) * scale
            for layer in range(last, -1, -1):
                n_in, n_out = sizes[layer], sizes[layer + 1]
                if layer and book:
                    W -= n_in * n_out
                    for i in range(n_in):
                        error[layer - 1, r, i] = zero
                    for o in range(n_out):
                        for i in range(n_in):
                            error[layer - 1, r, i] += parameters[W + o * n_in + i] * error[layer, r, o]
                if codes[layer] >= 0:
                    differentiate(codes[layer], error[layer, r], y[layer, r], n_out, one)
                if layer and not book:
                    W -= n_in * n_out
                    for i in range(n_in):
                        error[layer - 1, r, i] = zero
                    for o in range(n_out):
                        delta = error[layer, r, o]
                        for i in range(n_in):
                            error[layer - 1, r, i] += parameters[W + o * n_in + i] * delta
            for i in range(sizes[1]):
                deltas[row, i] = error[0, r, i]
        W, b = sizes[0] * sizes[1], all_weights + sizes[1]
        for layer in range(1, layers):
            n_in, n_out = sizes[layer], sizes[layer + 1]
            for o in range(n_out):
                if velocity.size:
                    for i in range(n_in):
                        total = zero
                        for r in range(stop - start):
                            total += error[layer, r, o] * y[layer - 1, r, i]
                        at = W + o * n_in + i
                        velocity[at] = momentum * velocity[at] + total
                        parameters[at] = shrinks[k] * parameters[at] - rates[k] * velocity[at]
                else:
                    if shrinks[k] != one:
                        for i in range(n_in):
                            parameters[W + o * n_in + i] *= shrinks[k]
                    for r in range(stop - start):
                        step = rates[k] * error[layer, r, o]
                        for i in range(n_in):
                            parameters[W + o * n_in + i] -= step * y[layer - 1, r, i]
                if has_biases:
                    total = zero
                    for r in range(stop - start):
                        total += error[layer, r, o]
                    if velocity.size:
                        velocity[b + o] = momentum * velocity[b + o] + total
                        total = velocity[b + o]
                    parameters[b + o] -= rates[k] * total
            W += n_in * n_out
            b += n_out
