"""The loops themselves, for Numba. Imported only where they are used: see `xpnn.fast.compiled`.

    what Numba has no word for, matrix products, functions of a layer, updates
    batches, one after another      `learn_batches`, for `xpnn.fast.batches`
    rows of a deferred block        `learn_rows`, for `xpnn.fast.deferred`

All in one file: what Numba has kept on disk of a loop it takes as long as that loop's own file is as it was, whatever
has become of the files that the loop calls into.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import get_cython_function_address, intrinsic

# Sums may be reordered and products fused, which vectorises them. NaN stays NaN: a run that diverges is to be seen.
REORDER = {"reassoc", "contract", "nsz", "arcp"}
# Without Python's lock, so that a thread may prepare the next batch meanwhile (`xpnn.fast.ahead`).
loop = njit(cache=True, nogil=True, fastmath=REORDER, error_model="numpy")
as_written = njit(cache=True, nogil=True, error_model="numpy")  # for what depends on the order of its operations

GEMM = {"float32": "sgemm", "float64": "dgemm"}
POINTERS = 13  # that it takes
AS_IT_IS, TURNED = ord("N"), ord("T")
SGD, MOMENTUM, ADAM = 0, 1, 2

Blas: TypeAlias = Any  # of `blas_for`


@intrinsic
def call(typingctx: Any, address: Any, pointers: Any) -> Any:
    """Call the function at an address with so many pointers.

    The address is an argument, for Numba doesn't keep on disk what has one compiled in.
    """

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = ir.IntType(64)
        kind = ir.FunctionType(ir.VoidType(), [word] * POINTERS)
        function = builder.inttoptr(arguments[0], kind.as_pointer())
        builder.call(function, [builder.extract_value(arguments[1], i) for i in range(POINTERS)])
        return context.get_dummy_value()

    return types.void(types.int64, types.UniTuple(types.int64, POINTERS)), code  # type: ignore[no-untyped-call, unused-ignore]  # Numba's


@intrinsic
def power_of_two(typingctx: Any, k: Any) -> Any:
    """2^k for a whole k that the dtype has the power of: k becomes the exponent's bits (IEEE 754)."""
    size, fraction, bias = {types.float32: (32, 23, 127), types.float64: (64, 52, 1023)}[k]

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        whole = ir.IntType(size)
        exponent = builder.add(builder.fptosi(arguments[0], whole), whole(bias))
        return builder.bitcast(builder.shl(exponent, whole(fraction)), arguments[0].type)

    return k(k), code


def blas_for(dtype: str) -> Blas:
    """What `add_product` needs for arrays of this dtype: the address of SciPy's gemm, and room for its arguments.

    NumPy's own BLAS can't be called from a loop. The two have threads of their own, which get in each other's way: a
    loop calls this one alone. Raises ImportError for one whose whole numbers are not C's int.
    """
    from scipy.linalg import cython_blas

    name = GEMM[dtype]
    if " int *" not in repr(cython_blas.__pyx_capi__[name]):
        raise ImportError(f"SciPy's {name} takes other arguments than xpnn knows")
    address = get_cython_function_address("scipy.linalg.cython_blas", name)
    return address, np.empty(8, dtype="int32"), np.empty(2, dtype=dtype)


@loop
def add_product(blas: Blas, a: Any, a_turned: bool, b: Any, b_turned: bool, alpha: Any, c: Any, beta: Any) -> None:
    """c (m, n) = alpha A B + beta c, where A (m, k) is `a`, or a^T if it is turned, and B (k, n) likewise.

    BLAS reads arrays column after column, and so sees C^T = B^T A^T.
    """
    address, words, factors = blas
    (m, n), k = c.shape, a.shape[0] if a_turned else a.shape[1]
    words[0], words[1] = TURNED if b_turned else AS_IT_IS, TURNED if a_turned else AS_IT_IS
    words[2], words[3], words[4] = n, m, k
    words[5], words[6], words[7] = b.shape[1], a.shape[1], n
    factors[0], factors[1] = alpha, beta
    w, f, f1 = np.int64(words.ctypes.data), np.int64(factors.ctypes.data), np.int64(factors[1:].ctypes.data)
    at_a, at_b, at_c = np.int64(a.ctypes.data), np.int64(b.ctypes.data), np.int64(c.ctypes.data)
    call(address, (w, w + 4, w + 8, w + 12, w + 16, f, at_b, w + 20, at_a, w + 24, f1, at_c, w + 28))  # type: ignore[call-arg, unused-ignore]  # Numba gives the context


@as_written
def exponentials(z: Any, less_one: bool) -> None:
    """z becomes e^z, or e^z - 1, to within two units in the last place; without branches, so that it vectorises.

    e^z = 2^k e^r, with the whole k that makes |r| <= log(2) / 2, and Taylor's series for e^r - 1 (Muller, Elementary
    Functions, 2016, chapter 11). What is too small for the dtype becomes 0, what is too large nearly its largest;
    NaN stays NaN.
    """
    real = z.dtype.type
    is_single = z.itemsize == 4
    lowest, highest = (real(-87.33), real(88.0)) if is_single else (real(-708.39), real(709.0))
    per_octave, zero, half, one = real(1.4426950408889634), real(0), real(0.5), real(1)
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
        k = zero if np.isnan(k) else k  # NaN has no exponent, but is in r
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
        s = power_of_two(k)  # type: ignore[call-arg, var-annotated, unused-ignore]  # Numba gives the context
        s = zero if x < lowest else s
        z[i] = s * p + (s - one if less_one else s)


@loop
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


@loop
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


@loop
def differentiate(code: int, error: Any, y: Any) -> None:
    """error becomes error * f', both (units, n); with a negative code it is dL/dz already, and stays."""
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


@loop
def weights_in(sizes: Any) -> int:
    """How many weights there are in a net of these sizes."""
    total = 0
    for layer in range(sizes.size - 1):
        total += sizes[layer] * sizes[layer + 1]
    return total


@loop
def update_by_adam(gradient: Any, first: Any, second: Any, parameters: Any, numbers: Any, shrink: Any, l2: Any) -> None:
    """As `xpnn.optimizers.adam` has it; numbers: beta1, beta2, and the two coefficients of the step.

    shrink: what weight decay leaves of a parameter; l2: how much of the parameter comes to its gradient.
    """
    beta1, beta2, rate, small = numbers[0], numbers[1], numbers[2], numbers[3]
    for i in range(gradient.size):
        g = gradient[i] + l2 * parameters[i]
        m = beta1 * first[i] + g
        v = beta2 * second[i] + g * g
        first[i] = m
        second[i] = v
        parameters[i] = shrink * parameters[i] - rate * (m / (np.sqrt(v) + small))


@loop
def update_by_momentum(velocity: Any, parameters: Any, rate: Any, shrink: Any, l2: Any) -> None:
    """Polyak's, the gradient being in the velocity already."""
    for i in range(velocity.size):
        v = velocity[i] + l2 * parameters[i]
        velocity[i] = v
        parameters[i] = shrink * parameters[i] - rate * v


@loop
def learn_batches(
    x: Any,
    t: Any,
    weights: Any,
    answers: Any,
    parameters: Any,
    gradient: Any,
    moments: Any,
    sizes: Any,
    codes: Any,
    settings: Any,
    table: Any,
    numbers: Any,
    masks: Any,
    y: Any,
    error: Any,
    blas: Blas,
) -> None:
    """Learn the batches of x (rows, n_in) and t (rows, n_out), and leave what the net answered to each in `answers`.

    weights:    (rows, 1), or (0, 1) where all count the same.
    gradient:   as `parameters`, a work array; the velocity where there is momentum; (0,) for plain descent.
    moments:    Adam's two, or two of (0,).
    sizes:      (layers + 1,); codes: (layers,) of CODES, the output's negative where the loss gives dL/dz.
    settings:   whether there are biases; whether the book's rule sends errors back instead of deltas; rows a batch;
                the optimizer.
    table:      (updates, columns), of `xpnn.training.update_table`.
    numbers:    l2; what the masks' values are divided by; then beta1 and beta2 of Adam, or the momentum.
    masks:      of dropout, as the outputs of the hidden layers lie in y, for a single batch; (0,) without dropout.
    y, error:   work arrays of so many values as a batch has outputs in all layers.
    """
    zero, one = parameters.dtype.type(0), parameters.dtype.type(1)
    has_biases, book, batch, kind = settings[0] > 0, settings[1] > 0, settings[2], settings[3]
    first, second = moments
    l2, mask_scale, w = numbers[0], numbers[1], weights_in(sizes)
    adams = np.empty(4, dtype=parameters.dtype)
    adams[:2] = numbers[2:4]
    for k in range(table.shape[0]):
        start, stop = k * batch, min(k * batch + batch, len(t))
        rate, shrink = table[k, 0], table[k, table.shape[1] - 2]
        forward(x[start:stop], parameters, sizes, codes, has_biases, masks, y, blas)
        here = sizes[1:-1].sum() * (stop - start)
        measure(y[here:], t[start:stop], weights[start:stop], answers[start:stop], error[here:])
        # The gradient G goes where its optimizer wants it: share G + kept (what is there).
        if kind == SGD:
            place, share, kept, kept_of_bias = parameters, -rate, shrink - rate * l2, one
        elif kind == MOMENTUM:
            place, share, kept, kept_of_bias = gradient, one, numbers[2], numbers[2]
        else:
            place, share, kept, kept_of_bias = gradient, one, zero, zero
        places = (place, share, kept, kept_of_bias)
        backward(x[start:stop], parameters, sizes, codes, has_biases, book, masks, mask_scale, y, error, places, blas)
        if kind == MOMENTUM:
            update_by_momentum(gradient[:w], parameters[:w], rate, shrink, l2)
            update_by_momentum(gradient[w:], parameters[w:], rate, one, zero)
        elif kind == ADAM:
            adams[2:] = table[k, :2]
            update_by_adam(gradient[:w], first[:w], second[:w], parameters[:w], adams, shrink, l2)
            update_by_adam(gradient[w:], first[w:], second[w:], parameters[w:], adams, one, zero)


@loop
def forward(x: Any, parameters: Any, sizes: Any, codes: Any, has_biases: bool, masks: Any, y: Any, blas: Blas) -> None:
    """The outputs of all layers, into y."""
    n, zero, one = len(x), x.dtype.type(0), x.dtype.type(1)
    W, b, below, here = 0, weights_in(sizes), 0, 0
    for layer in range(codes.size):
        n_in, n_out = sizes[layer], sizes[layer + 1]
        matrix, z = part(parameters, W, n_out, n_in), part(y, here, n_out, n)
        come = part(y, below, n_in, n) if layer else x
        add_product(blas, matrix, False, come, layer == 0, one, z, zero)
        if has_biases:
            for i in range(n_out):
                z[i] += parameters[b + i]
        apply(abs(codes[layer]), z)
        if masks.size and layer < codes.size - 1:
            z *= part(masks, here, n_out, n)
        W, b, below, here = W + n_in * n_out, b + n_out, here, here + n_out * n


@loop
def backward(
    x: Any,
    parameters: Any,
    sizes: Any,
    codes: Any,
    has_biases: bool,
    book: bool,
    masks: Any,
    mask_scale: Any,
    y: Any,
    error: Any,
    places: Any,
    blas: Blas,
) -> None:
    """From the last layer's error to the others', and their gradients to a place, which may be the parameters."""
    place, share, kept, kept_of_bias = places
    n, zero, one = len(x), x.dtype.type(0), x.dtype.type(1)
    here, W = sizes[1:-1].sum() * n, weights_in(sizes)
    b = W + sizes[1:].sum()
    for layer in range(codes.size - 1, -1, -1):
        n_in, n_out = sizes[layer], sizes[layer + 1]
        W, b, below = W - n_in * n_out, b - n_out, here - n_in * n
        delta, outputs = part(error, here, n_out, n), part(y, here, n_out, n)
        if masks.size and layer < codes.size - 1:
            delta *= part(masks, here, n_out, n)
            outputs /= mask_scale  # f' is a function of y before the mask
        if not book:
            differentiate(codes[layer], delta, outputs)
        if layer:  # back through the matrix, before it changes
            add_product(
                blas, part(parameters, W, n_out, n_in), True, delta, False, one, part(error, below, n_in, n), zero
            )
        if book:
            differentiate(codes[layer], delta, outputs)
        come = part(y, below, n_in, n) if layer else x
        add_product(blas, delta, False, come, layer > 0, share, part(place, W, n_out, n_in), kept)
        if has_biases:
            for i in range(n_out):
                place[b + i] = kept_of_bias * place[b + i] + share * delta[i].sum()
        here = below


@loop
def part(values: Any, start: int, rows: int, columns: int) -> Any:
    """The matrix that begins there in a vector."""
    return values[start : start + rows * columns].reshape(rows, columns)


@loop
def measure(y: Any, t: Any, weights: Any, answers: Any, error: Any) -> None:
    """Copy the outputs (n_out, n) to the answers, and their difference from t, over n, to the error."""
    n, n_out = t.shape
    real = t.dtype.type
    one = real(1)
    for j in range(n):
        scale = one / real(n)
        if len(weights):
            scale *= weights[j, 0]
        for i in range(n_out):
            answers[j, i] = y[i * n + j]
            error[i * n + j] = (y[i * n + j] - t[j, i]) * scale


@loop
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


@loop
def send_on(W: Any, x: Any, z: Any) -> None:
    """z (n_out,) = W x."""
    for o in range(W.shape[0]):
        total, row = W.dtype.type(0), W[o]
        for i in range(row.size):
            total += row[i] * x[i]
        z[o] = total


@loop
def send_back(W: Any, delta: Any, error: Any) -> None:
    """error (n_in,) = W^T delta."""
    error[:] = W.dtype.type(0)
    for o in range(W.shape[0]):
        row, d = W[o], delta[o]
        for i in range(row.size):
            error[i] += row[i] * d


@loop
def step_down(W: Any, b: Any, delta: Any, x: Any, rate: Any) -> None:
    """Against the gradient of one row: W -= rate delta^T x; b, which may have no elements, likewise."""
    for o in range(W.shape[0]):
        row, d = W[o], rate * delta[o]
        for i in range(row.size):
            row[i] -= d * x[i]
    for o in range(b.size):
        b[o] -= rate * delta[o]


@loop
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


@loop
def learn_rows(
    gram: Any,
    deltas: Any,
    t: Any,
    answers: Any,
    weights: Any,
    parameters: Any,
    velocity: Any,
    sizes: Any,
    codes: Any,
    settings: Any,
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
    settings:   whether there are biases; whether the book's rule sends errors back instead of deltas.
    momentum:   (1,).
    y, error:   work arrays, (layers, units of the largest layer).
    """
    layers, units = codes.size, sizes[1]
    has_biases, book = settings[0] > 0, settings[1] > 0
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
            send_on(part(parameters, W, n_out, n_in), y[layer - 1, :n_in], z)
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
            column, outputs = delta.reshape(n_out, 1), y[layer, :n_out].reshape(n_out, 1)
            if not book:
                differentiate(codes[layer], column, outputs)
            if layer:
                send_back(part(parameters, W, n_out, n_in), delta, error[layer - 1, :n_in])
            if book:
                differentiate(codes[layer], column, outputs)
        deltas[row] = error[0, :units]
        W, b = sizes[0] * units, all_weights + units
        for layer in range(1, layers):
            n_in, n_out = sizes[layer], sizes[layer + 1]
            its_biases = slice(b, b + n_out * has_biases)
            matrix, biases = part(parameters, W, n_out, n_in), parameters[its_biases]
            if shrinks[row] != 1:
                matrix *= shrinks[row]
            below, delta = y[layer - 1, :n_in], error[layer, :n_out]
            if velocity.size:
                V, v = part(velocity, W, n_out, n_in), velocity[its_biases]
                step_down_with_momentum(matrix, biases, delta, below, rates[row], V, v, momentum[0])
            else:
                step_down(matrix, biases, delta, below, rates[row])
            W, b = W + n_in * n_out, b + n_out
