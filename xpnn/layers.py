"""The layers: views of one flat vector of parameters, and the two passes through them.

Forward and backward are plain functions on arrays. They write into buffers that the caller made, so that a training
step can run without allocating; `docs/math.md` derives them with the same letters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from xpnn.activations import Activation
from xpnn.backend import Array, matmul, matmul_narrow, xp_of


class Layer(NamedTuple):
    """W (n_out, n_in) and b (n_out,), or None: views of a flat vector of parameters, or of their gradient."""

    W: Array
    b: Array | None


class Operations(NamedTuple):
    """What the two passes are made of, each in place or into a buffer of the caller's.

    PLAIN's are written in xp, for every device. A fast step may bring others, which do the same in fewer passes.
    """

    matmul: Callable[[Array, Array, Array], None]
    activate: Callable[[Array, Array | None, Activation, Array, Array], None]
    differentiate: Callable[[Array, Activation | None, Array, Array, Array | None], None]


def activate(z: Array, b: Array | None, activation: Activation, saved: Array, column: Array) -> None:
    """z becomes f(z + b); b may be None."""
    if b is not None:
        xp_of(z, b).add(z, b, out=z)
    activation.apply(z, saved, column)


def differentiate(
    delta: Array, activation: Activation | None, saved: Array, column: Array, grad_b: Array | None
) -> None:
    """delta becomes delta * f'(z), if there is an activation, and grad_b, if there is one, its sum over the rows."""
    if activation is not None:
        activation.backpropagate(delta, saved, column)
    if grad_b is not None:
        xp_of(delta, grad_b).sum(delta, axis=0, out=grad_b)


PLAIN = Operations(matmul, activate, differentiate)
QUERYING = PLAIN._replace(matmul=matmul_narrow)  # many rows on the CPU


def layers_of(vector: Array, sizes: Sequence[int], bias: bool) -> tuple[Layer, ...]:
    """Views into a flat `vector`: the W of every layer, in C order, and after them the b of every layer.

    The weights stand first so that what concerns them alone, such as weight decay, is one slice.
    """
    layers, start, start_b = [], 0, weight_count(sizes)
    for n_in, n_out in pairwise(sizes):
        W = vector[start : start + n_out * n_in].reshape(n_out, n_in)
        b = vector[start_b : start_b + n_out] if bias else None
        layers.append(Layer(W, b))
        start, start_b = start + n_out * n_in, start_b + n_out
    return tuple(layers)


def forward(
    layers: Sequence[Layer],
    activations: Sequence[Activation],
    x: Array,
    outputs: Sequence[Array],
    saved: Sequence[Array],
    column: Array,
    masks: Sequence[Array | None],
    operations: Operations = PLAIN,
) -> None:
    """Write each layer's y = f(x W^T + b), times its dropout mask if it has one, into `outputs`.

    Shapes: (n, n_out) each output and mask; `column` (n, 1) is scratch. saved[i] is
    `saved_for(activations[i], outputs[i])`: there `backward` finds what it needs for f'.
    """
    xp = xp_of(x, column)
    for layer, activation, y, kept, mask in zip(layers, activations, outputs, saved, masks, strict=True):
        operations.matmul(x, layer.W.T, y)
        operations.activate(y, layer.b, activation, kept, column)
        if mask is not None:
            xp.multiply(y, mask, out=y)
        x = y


def backward(
    layers: Sequence[Layer],
    activations: Sequence[Activation | None],
    x: Array,
    outputs: Sequence[Array],
    saved: Sequence[Array],
    errors: Sequence[Array],
    deltas: Sequence[Array],
    gradient: Sequence[Layer | None],
    column: Array,
    masks: Sequence[Array | None],
    mask_scale: float,
    operations: Operations = PLAIN,
) -> None:
    """Propagate errors[-1] back through the layers and write the gradient.

    errors[i] is dL/dy of layer i and deltas[i] is dL/dz = errors[i] * f'(z); an activation of None says that
    the error is dL/dz already. Give the same arrays as `errors` and `deltas`: the delta then takes the error's
    place, and W^T delta goes back, which is the gradient. Give others, and W^T error goes back, which is the
    rule of Rashid's book. `masks` are those of `forward`, whose values are 0 or `mask_scale`. `outputs` and `saved`,
    which `forward` wrote, are spent. A layer whose gradient is None gets none, only its delta.
    """
    xp = xp_of(x, column)
    for i in reversed(range(len(layers))):
        activation, error, delta, mask = activations[i], errors[i], deltas[i], masks[i]
        if mask is not None:
            xp.multiply(error, mask, out=error)
            xp.multiply(outputs[i], 1 / mask_scale, out=outputs[i])  # f' is a function of y before the mask
        if delta is not error:
            xp.copyto(delta, error)
        part = gradient[i]
        operations.differentiate(delta, activation, saved[i], column, None if part is None else part.b)
        if part is not None:
            operations.matmul(delta.T, outputs[i - 1] if i else x, part.W)
        if i:
            operations.matmul(error, layers[i].W, errors[i - 1])


def weight_count(sizes: Sequence[int]) -> int:
    """How many weights a net of these sizes has, its biases not counted."""
    return sum(n_out * n_in for n_in, n_out in pairwise(sizes))


def parameter_count(sizes: Sequence[int], bias: bool) -> int:
    """How many weights and biases a net of these sizes has."""
    return weight_count(sizes) + bias * sum(sizes[1:])
