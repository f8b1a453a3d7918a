"""The mini-batch step in compiled loops: a block of batches is one call, and nothing passes over memory twice.

What the reference does in thirty calls of NumPy a batch, each passing over its arrays, are here the matrix products
and, between them, one loop a layer. Plain gradient descent has no gradient at all: the product goes into the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from xpnn.backend import Array
from xpnn.fast import compiled
from xpnn.fast.block import BlockStep, is_plain
from xpnn.network import MLP
from xpnn.optimizers import Optimizer
from xpnn.steps import Buffers

BLOCK = 400_000  # inputs and outputs of a block, in values: they stay in the cache
WORK = 10**8  # of a block, parameters times rows: Ctrl-C and the bar wait for so much


class CompiledStep(BlockStep):
    """The reference step, but for rounding, where `compiled.batches_pay`."""

    name = "compiled"

    def __init__(
        self, net: MLP, optimizer: Optimizer, inputs: Array, targets: Array, batch_size: int, **options: Any
    ) -> None:
        rows = min(BLOCK // (net.sizes[0] + net.sizes[-1]), WORK // net.parameters.size)
        if not is_plain(options):
            rows = 0  # a batch alone: NumPy has a part in each update
        super().__init__(net, optimizer, inputs, targets, batch_size, max(1, rows // batch_size), **options)
        from xpnn.fast import loops

        dtype, numbers_of, batch = net.dtype, optimizer.settings, min(batch_size, len(inputs))
        gradient, moments = np.empty(0, dtype=dtype), (np.empty(0, dtype=dtype),) * 2
        kind, first, second = loops.SGD, 0.0, 0.0
        if "beta1" in numbers_of:
            kind, first, second = loops.ADAM, numbers_of["beta1"], numbers_of["beta2"]
            gradient, moments = self.gradient, (self.state["first_moment"], self.state["second_moment"])
        elif numbers_of["momentum"]:
            kind, first, gradient = loops.MOMENTUM, numbers_of["momentum"], self.state["velocity"]
        settings = np.array([net.bias, self.error_rule == "book", batch, kind])
        numbers = np.array([self.regularizer.settings.l2, self.regularizer.mask_scale, first, second], dtype=dtype)
        self.masks = np.empty(batch * sum(net.sizes[1:-1]) * (self.regularizer.settings.dropout > 0), dtype=dtype)
        y, error = np.empty((2, batch * sum(net.sizes[1:])), dtype=dtype)
        self.learn = loops.learn_batches
        self.before = (net.parameters, gradient, moments, np.array(net.sizes), compiled.codes_of(net), settings)
        self.after = (numbers, self.masks, y, error, loops.blas_for(dtype))
        self.weightless = np.empty((0, 1), dtype=dtype)
        none = self.buffers[self.rows].part(0, 0)
        self._learn(none, np.empty((0, 3), dtype=dtype))  # compiles it, or loads it

    def _make_buffers(self, units: Sequence[int]) -> Buffers:
        """The loop has arrays of its own for the layers."""
        return super()._make_buffers(())

    def _learn_block(self, buffers: Buffers, table: Array) -> None:
        """See BlockStep. Where an update needs what the loop doesn't do, its batch is the block."""
        self._disturb(buffers)
        if self.masks.size:
            self._lay_masks(buffers.masks)
        self._learn(buffers, table)
        self.regularizer.limit_norms()
        if self.average is not None:
            self.average.update(table[0, -1:].reshape(()))
        self.position += len(table)

    def _learn(self, buffers: Buffers, table: Array) -> None:
        weights = self.weightless if self.weights is None else buffers.weights
        answers = self.answers[: len(buffers.t)]
        self.learn(buffers.x, buffers.t, weights, answers, *self.before, table, *self.after)

    def _lay_masks(self, masks: Sequence[Array | None]) -> None:
        """The masks, each (n, units), as the loop wants them."""
        start = 0
        for mask in masks:
            if mask is not None:
                to = self.masks[start : start + mask.size].reshape(mask.T.shape)
                np.copyto(to, mask.T)
                start += mask.size
