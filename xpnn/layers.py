"""The layers: views of one flat vector of parameters, and the two passes through them.

Forward and backward are plain functions on arrays. They write into buffers that the caller made, so that a training
step can run without allocating; `docs/math.md` derives them with the same letters.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from xpnn.activations import Activation
from xpnn.backend import Array, matmul, xp_of


class Layer(NamedTuple):
    """W (n_out, n_in) and b (n_out,), or None: views of a flat vector of parameters, or of their gradient."""

    W: Array
    b: Array | None


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
) -> None:
    """Write each layer's y = f(x W^T + b), times its dropout mask if it has one, into `outputs`.

    Shapes: (n, n_out) each output and mask; `column` (n, 1) is scratch. saved[i] is
    `saved_for(activations[i], outputs[i])`: there `backward` finds what it needs for f'.
    """
    xp = xp_of(x, column)
    for layer, activation, y, kept, mask in zip(layers, activations, outputs, saved, masks, strict=True):
        matmul(x, layer.W.T, out=y)
        if layer.b is not None:
            xp.add(y, layer.b, out=y)
        activation.apply(y, kept, column)
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
        if activation is not None:
            activation.backpropagate(delta, saved[i], column)
        part = gradient[i]
        if part is not None:
            matmul(delta.T, outputs[i - 1] if i else x, out=part.W)
            if part.b is not None:
                xp.sum(delta, axis=0, out=part.b)
        if i:
            matmul(error, layers[i].W, out=errors[i - 1])


def weight_count(sizes: Sequence[int]) -> int:
    """How many weights a net of these sizes has, its biases not counted."""
    return sum(n_out * n_in for n_in, n_out in pairwise(sizes))


def parameter_count(sizes: Sequence[int], bias: bool) -> int:
    """How many weights and biases a net of these sizes has."""
    return weight_count(sizes) + bias * sum(sizes[1:])
