"""The mini-batch step in compiled loops: a block of batches is one call, and nothing passes over memory twice.

What the reference does in thirty calls of NumPy a batch, each passing over its arrays, are here the matrix products
and, between them, one loop a layer. Plain gradient descent has no gradient at all: the product goes into the weights.
"""

from __future__ import annotations

import numpy as np

from xpnn.backend import Array
from xpnn.fast import compiled
from xpnn.fast.block import BlockStep
from xpnn.network import MLP
from xpnn.optimizers import Optimizer
from xpnn.steps import Buffers

BLOCK = 400_000  # inputs of a block, in values: they stay in the cache


class CompiledStep(BlockStep):
    """The reference step, but for rounding, where `compiled.batches_pay`."""

    name = "compiled"

    def __init__(
        self, net: MLP, optimizer: Optimizer, inputs: Array, targets: Array, batch_size: int, **options: object
    ) -> None:
        updates = max(1, BLOCK // net.sizes[0] // batch_size)
        super().__init__(net, optimizer, inputs, targets, batch_size, updates, **options)
        from xpnn.fast.loops import batches, blas

        dtype, settings, batch = net.dtype, optimizer.settings, min(batch_size, len(inputs))
        gradient, moments = np.empty(0, dtype=dtype), (np.empty(0, dtype=dtype),) * 2
        kind, first, second = batches.SGD, 0.0, 0.0
        if "beta1" in settings:
            kind, first, second = batches.ADAM, settings["beta1"], settings["beta2"]
            gradient, moments = self.gradient, (self.state["first_moment"], self.state["second_moment"])
        elif settings["momentum"]:
            kind, first, gradient = batches.MOMENTUM, settings["momentum"], self.state["velocity"]
        flags = np.array([net.bias, self.error_rule == "book", batch, kind])
        numbers = np.array([self.regularizer.settings.l2, first, second], dtype=dtype)
        y, error = np.empty((2, batch * sum(net.sizes[1:])), dtype=dtype)
        self.learn = batches.learn
        self.before = (net.parameters, gradient, moments, np.array(net.sizes), compiled.codes_of(net), flags)
        self.after = (numbers, y, error, blas.blas_for(dtype))
        self.weightless = np.empty((0, 1), dtype=dtype)
        none = self.buffers[self.rows].part(0, 0)
        self._learn_block(none, np.empty((0, 3), dtype=dtype))  # compiles it, or loads it

    def _learn_block(self, buffers: Buffers, table: Array) -> None:
        """See BlockStep."""
        weights = self.weightless if self.weights is None else buffers.weights
        answers = self.answers[: len(buffers.t)]
        self.learn(buffers.x, buffers.t, weights, answers, *self.before, table, *self.after)
