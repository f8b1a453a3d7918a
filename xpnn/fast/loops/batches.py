"""Mini-batches, one after another, for Numba: the train step with no call, and no pass over memory, too many.

A batch lies unit after unit, (units, rows): then the products read a layer's matrix the way it lies, and the loop of an
activation is as long as the batch is large. The outputs of the layers, and their errors, lie one after the other in one
vector each.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from xpnn.fast.loops import compiled
from xpnn.fast.loops.blas import Blas, add_product
from xpnn.fast.loops.functions import apply, differentiate
from xpnn.fast.loops.updates import adam, momentum

SGD, MOMENTUM, ADAM = 0, 1, 2


@compiled
def learn(
    x: Any,
    t: Any,
    weights: Any,
    answers: Any,
    parameters: Any,
    gradient: Any,
    moments: Any,
    sizes: Any,
    codes: Any,
    flags: Any,
    table: Any,
    numbers: Any,
    y: Any,
    error: Any,
    blas: Blas,
) -> None:
    """Learn the batches of x (rows, n_in) and t (rows, n_out), and leave what the net answered to each in `answers`.

    weights:    (rows, 1), or (0, 1) where all count the same.
    gradient:   as `parameters`, a work array; the velocity where there is momentum; (0,) for plain descent.
    moments:    Adam's two, or two of (0,).
    sizes:      (layers + 1,); codes: (layers,) of CODES, the output's negative where the loss gives dL/dz.
    flags:      whether there are biases; whether the book's rule sends errors back instead of deltas; rows a batch;
                the optimizer.
    table:      (updates, columns), of `xpnn.training.update_table`.
    numbers:    l2; then beta1 and beta2 of Adam, or the momentum.
    y, error:   work arrays of so many values as a batch has outputs in all layers.
    """
    zero, one = parameters.dtype.type(0), parameters.dtype.type(1)
    has_biases, book, batch, kind = flags[0] > 0, flags[1] > 0, flags[2], flags[3]
    first, second = moments
    l2, w = numbers[0], parameters.size - has_biases * sizes[1:].sum()
    adams = np.empty(4, dtype=parameters.dtype)
    adams[:2] = numbers[1:3]
    for k in range(table.shape[0]):
        start, stop = k * batch, min(k * batch + batch, len(t))
        rate, shrink = table[k, 0], table[k, table.shape[1] - 2]
        forward(x[start:stop], parameters, sizes, codes, has_biases, y, blas)
        here = sizes[1:-1].sum() * (stop - start)
        measure(y[here:], t[start:stop], weights[start:stop], answers[start:stop], error[here:])
        # The gradient G goes where its optimizer wants it: share G + kept (what is there).
        if kind == SGD:
            place, share, kept, kept_of_bias = parameters, -rate, shrink - rate * l2, one
        elif kind == MOMENTUM:
            place, share, kept, kept_of_bias = gradient, one, numbers[1], numbers[1]
        else:
            place, share, kept, kept_of_bias = gradient, one, zero, zero
        backward(
            x[start:stop], parameters, sizes, codes, has_biases, book, y, error, place, share, kept, kept_of_bias, blas
        )
        if kind == MOMENTUM:
            momentum(gradient[:w], parameters[:w], rate, shrink, l2)
            momentum(gradient[w:], parameters[w:], rate, one, zero)
        elif kind == ADAM:
            adams[2:] = table[k, :2]
            adam(gradient[:w], first[:w], second[:w], parameters[:w], adams, shrink, l2)
            adam(gradient[w:], first[w:], second[w:], parameters[w:], adams, one, zero)


@compiled
def forward(x: Any, parameters: Any, sizes: Any, codes: Any, has_biases: bool, y: Any, blas: Blas) -> None:
    """The outputs of all layers, into y."""
    n, zero, one = len(x), x.dtype.type(0), x.dtype.type(1)
    W, b, below, here = 0, parameters.size - sizes[1:].sum(), 0, 0
    for layer in range(codes.size):
        n_in, n_out = sizes[layer], sizes[layer + 1]
        matrix, z = part(parameters, W, n_out, n_in), part(y, here, n_out, n)
        come = part(y, below, n_in, n) if layer else x
        add_product(blas, matrix, False, come, layer == 0, one, z, zero)
        if has_biases:
            for i in range(n_out):
                z[i] += parameters[b + i]
        apply(abs(codes[layer]), z)
        W, b, below, here = W + n_in * n_out, b + n_out, here, here + n_out * n


@compiled
def backward(
    x: Any,
    parameters: Any,
    sizes: Any,
    codes: Any,
    has_biases: bool,
    book: bool,
    y: Any,
    error: Any,
    place: Any,
    share: Any,
    kept: Any,
    kept_of_bias: Any,
    blas: Blas,
) -> None:
    """From the last layer's error to the others', and their gradients to `place`, which may be the parameters."""
    n, zero, one = len(x), x.dtype.type(0), x.dtype.type(1)
    here, b = sizes[1:-1].sum() * n, parameters.size
    W = b - has_biases * sizes[1:].sum()
    for layer in range(codes.size - 1, -1, -1):
        n_in, n_out = sizes[layer], sizes[layer + 1]
        W, b, below = W - n_in * n_out, b - n_out, here - n_in * n
        delta, outputs = part(error, here, n_out, n), part(y, here, n_out, n)
        if codes[layer] >= 0 and not (book and layer):
            differentiate(codes[layer], delta, outputs)
        if layer:  # back through the matrix, before it changes
            add_product(
                blas, part(parameters, W, n_out, n_in), True, delta, False, one, part(error, below, n_in, n), zero
            )
            if book and codes[layer] >= 0:
                differentiate(codes[layer], delta, outputs)
        come = part(y, below, n_in, n) if layer else x
        add_product(blas, delta, False, come, layer > 0, share, part(place, W, n_out, n_in), kept)
        if has_biases:
            for i in range(n_out):
                place[b + i] = kept_of_bias * place[b + i] + share * delta[i].sum()
        here = below


@compiled
def part(values: Any, start: int, rows: int, columns: int) -> Any:
    """The matrix that begins there in a vector."""
    return values[start : start + rows * columns].reshape(rows, columns)


@compiled
def measure(y: Any, t: Any, weights: Any, answers: Any, error: Any) -> None:
    """Copy the outputs (n_out, n) to the answers, and their difference from t, over n, to the error."""
    n, n_out = t.shape
    one = t.dtype.type(1)
    for j in range(n):
        scale = one / n
        if len(weights):
            scale *= weights[j, 0]
        for i in range(n_out):
            answers[j, i] = y[i * n + j]
            error[i * n + j] = (y[i * n + j] - t[j, i]) * scale
