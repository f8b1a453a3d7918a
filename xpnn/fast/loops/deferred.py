"""One sample after another, for Numba: the inside of a deferred block."""

from __future__ import annotations

from typing import Any

from xpnn.fast.loops import compiled
from xpnn.fast.loops.functions import apply, differentiate, weights_in


@compiled
def add_products(h: Any, gram: Any, deltas: Any, count: int) -> None:
    """h (units,) += the first `count` of the products gram (rows,) deltas (rows, units); four at a time."""
    units, fours = deltas.shape[1], count - count % 4
    for j in range(0, fours, 4):
        g0, g1, g2, g3 = gram[j], gram[j + 1], gram[j + 2], gram[j + 3]
        for i in range(units):
            h[i] += g0 * deltas[j, i] + g1 * deltas[j + 1, i] + g2 * deltas[j + 2, i] + g3 * deltas[j + 3, i]
    for j in range(fours, count):
        for i in range(units):
            h[i] += gram[j] * deltas[j, i]


@compiled
def send_on(W: Any, x: Any, z: Any) -> None:
    """z (n_out,) = W x."""
    for o in range(W.shape[0]):
        total, row = W.dtype.type(0), W[o]
        for i in range(row.size):
            total += row[i] * x[i]
        z[o] = total


@compiled
def send_back(W: Any, delta: Any, error: Any) -> None:
    """error (n_in,) = W^T delta."""
    error[:] = W.dtype.type(0)
    for o in range(W.shape[0]):
        row, d = W[o], delta[o]
        for i in range(row.size):
            error[i] += row[i] * d


@compiled
def step_down(W: Any, b: Any, delta: Any, x: Any, rate: Any) -> None:
    """Against the gradient of one row: W -= rate delta^T x; b, which may have no elements, likewise."""
    for o in range(W.shape[0]):
        row, d = W[o], rate * delta[o]
        for i in range(row.size):
            row[i] -= d * x[i]
    for o in range(b.size):
        b[o] -= rate * delta[o]


@compiled
def step_down_with_momentum(W: Any, b: Any, delta: Any, x: Any, rate: Any, V: Any, v: Any, momentum: Any) -> None:
    """Likewise with the velocities V of W and v of b."""
    for o in range(W.shape[0]):
        row, fast, d = W[o], V[o], delta[o]
        for i in range(row.size):
            fast[i] = momentum * fast[i] + d * x[i]
            row[i] -= rate * fast[i]
    for o in range(b.size):
        v[o] = momentum * v[o] + delta[o]
        b[o] -= rate * v[o]


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
    momentum: Any,
    y: Any,
    error: Any,
) -> None:
    """The rows of a deferred block, one update each: what `DeferredStep._learn` does for each.

    weights:    (rows, 1), or (0, 1) where all count the same.
    velocity:   as `parameters`, or (0,) without momentum.
    sizes:      (layers + 1,); codes: (layers,) of CODES, the output's negative where the loss gives dL/dz.
    flags:      whether there are biases; whether the book's rule sends errors back instead of deltas.
    momentum:   (1,).
    y, error:   work arrays, (layers, units of the largest layer).
    """
    layers, units = codes.size, sizes[1]
    has_biases, book = flags[0] > 0, flags[1] > 0
    last, all_weights = layers - 1, weights_in(sizes)
    for row in range(len(t)):
        h = y[0, :units]
        h[:] = deltas[row]
        add_products(h, gram[row], deltas, row)
        apply(abs(codes[0]), h.reshape(units, 1))
        W, b = sizes[0] * units, all_weights + units
        for layer in range(1, layers):
            n_in, n_out = sizes[layer], sizes[layer + 1]
            z = y[layer, :n_out]
            send_on(parameters[W : W + n_in * n_out].reshape(n_out, n_in), y[layer - 1, :n_in], z)
            if has_biases:
                z += parameters[b : b + n_out]
            apply(abs(codes[layer]), z.reshape(n_out, 1))
            W, b = W + n_in * n_out, b + n_out
        for o in range(sizes[layers]):
            answers[row, o] = y[last, o]
            error[last, o] = y[last, o] - t[row, o]
            if len(weights):
                error[last, o] *= weights[row, 0]
        for layer in range(last, -1, -1):
            n_in, n_out = sizes[layer], sizes[layer + 1]
            delta, W = error[layer, :n_out], W - n_in * n_out
            if codes[layer] >= 0 and not (book and layer):
                differentiate(codes[layer], delta.reshape(n_out, 1), y[layer, :n_out].reshape(n_out, 1))
            if layer:
                matrix = parameters[W : W + n_in * n_out].reshape(n_out, n_in)
                send_back(matrix, delta, error[layer - 1, :n_in])
                if book and codes[layer] >= 0:
                    differentiate(codes[layer], delta.reshape(n_out, 1), y[layer, :n_out].reshape(n_out, 1))
        deltas[row] = error[0, :units]
        W, b = sizes[0] * units, all_weights + units
        for layer in range(1, layers):
            n_in, n_out = sizes[layer], sizes[layer + 1]
            weights_here, biases_here = slice(W, W + n_in * n_out), slice(b, b + n_out * has_biases)
            matrix, biases = parameters[weights_here].reshape(n_out, n_in), parameters[biases_here]
            if shrinks[row] != 1:
                matrix *= shrinks[row]
            below, delta = y[layer - 1, :n_in], error[layer, :n_out]
            if velocity.size:
                V, v = velocity[weights_here].reshape(n_out, n_in), velocity[biases_here]
                step_down_with_momentum(matrix, biases, delta, below, rates[row], V, v, momentum[0])
            else:
                step_down(matrix, biases, delta, below, rates[row])
            W, b = W + n_in * n_out, b + n_out
