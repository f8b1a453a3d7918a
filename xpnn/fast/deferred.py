"""Exact one-sample-at-a-time gradient descent at mini-batch speed: the first layer's updates are put off.

In a block of updates, let X be the block's rows and W, b the first layer's parameters at its beginning. Before update
k they are W - sum_{j<k} a_kj delta_j^T x_j, and likewise for b, since gradient descent is linear in the gradients. So

    z_k = s_k (x_k W^T) + b - sum_{j<k} (a_kj x_k x_j^T + b_kj) delta_j

needs no updated W: X W^T and the Gram matrix X X^T are two large products for the whole block, what is left of a step
is a sum over the deltas so far, and a third large product brings W up to date at the end of the block. The recurrence
is that of the reference; only the rounding differs. a_kj, b_kj and s_k follow from rates, momentum and weight decay;
for plain gradient descent a_kj = b_kj = the rate of step j, and s_k = 1. All other layers, which are small, are
updated at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnn.backend import Array, as_floats
from xpnn.fast.block import BlockStep, is_plain, momentum_of
from xpnn.fast.compiled import codes_of
from xpnn.fast.recurrence import Expanded, coefficients, expand
from xpnn.layers import forward, layers_of
from xpnn.network import MLP
from xpnn.optimizers import Optimizer
from xpnn.regularization import NONE
from xpnn.steps import Buffers

BLOCK = 128  # rows, or four batches where these are more: larger ones spend more on the Gram matrix than they save
LARGEST_BATCH = 16  # for which it is 1.3 times as quick or more (docs/benchmarks.md)
LARGEST_WITH_MOMENTUM = 8
LARGE_LAYER = 100_000  # weights a row of a batch


class _Batch(NamedTuple):
    """One batch of a block: views of the block's arrays, made once. `before`: the deltas up to and with this batch."""

    gram: Array  # (n, rows so far)
    before: Array  # (rows so far, n_1)
    buffers: Buffers
    answers: Array  # (n, n_out)


class DeferredStep(BlockStep):
    """The reference step for a block of batches. See `applies` for where it can be used."""

    name = "deferred"

    def __init__(
        self, net: MLP, optimizer: Optimizer, inputs: Array, targets: Array, batch_size: int, **options: Any
    ) -> None:
        super().__init__(net, optimizer, inputs, targets, batch_size, max(4, BLOCK // batch_size), **options)
        n, dtype, units = self.rows, net.dtype, net.sizes[1]
        self.gram = np.empty((n, n), dtype=dtype)
        self.deltas = np.empty((n, units), dtype=dtype)  # of the first layer; its z before their batch has been learnt
        self.work = np.empty((n, units), dtype=dtype)
        self.units = np.empty(units, dtype=dtype)
        W = net.layers[0].W
        self.first_gradient = self.gradient[: W.size].reshape(W.shape)  # a work array: this gradient is put off
        self.gradient_layers = [None, *self.gradient_layers[1:]]
        self.momentum = momentum_of(optimizer) or 0.0
        if self.momentum:
            self.velocity = layers_of(self.state["velocity"], net.sizes, net.bias)[0]
        self.plans: dict[int, tuple[Buffers, list[_Batch]]] = {}
        self.known_for: tuple[int, bytes, bytes] = (0, b"", b"")
        self.known: Expanded
        rest = [slice(W.size, net.weights.size), slice(net.weights.size + units * net.bias, None)]
        self.rest_parts = [
            (self.gradient[part], {name: moment[part] for name, moment in self.state.items()}, net.parameters[part])
            for part in rest
            if net.parameters[part].size
        ]
        self.later_weights = net.weights[W.size :]
        self.loop: Callable[[Buffers, NDArray[np.float64], NDArray[np.float64]], None] | None = None

    def compiled(self) -> DeferredStep:
        """This step, with the compiled loop to learn its rows; for batches of one."""
        from xpnn.fast.loops import learn_rows

        net, dtype = self.net, self.net.dtype
        y, error = np.empty((2, len(net.layers), max(net.sizes[1:])), dtype=dtype)
        settings, momentum = np.array([net.bias, self.error_rule == "book"]), np.array([self.momentum], dtype=dtype)
        velocity = self.state["velocity"] if self.momentum else np.empty(0, dtype=dtype)
        shape = (net.parameters, velocity, np.array(net.sizes), codes_of(net), settings)

        def loop(buffers: Buffers, rates: NDArray[np.float64], shrinks: NDArray[np.float64]) -> None:
            n = len(buffers.t)
            block = (self.gram[:n, :n], self.deltas[:n], buffers.t, self.answers[:n])
            weights = buffers.weights[: 0 if self.weights is None else n]
            learn_rows(*block, weights, *shape, as_floats(rates, dtype), as_floats(shrinks, dtype), momentum, y, error)

        none = np.empty(0)
        loop(self.buffers[self.rows].part(0, 0), none, none)  # compiles it, or loads it
        self.loop, self.name = loop, "deferred, compiled"
        return self

    def _learn_block(self, buffers: Buffers, table: Array) -> None:
        """See BlockStep."""
        n = len(buffers.t)
        if n not in self.plans:
            self.plans[n] = self._plan(n)
        buffers, batches = self.plans[n]
        table = table.astype(np.float64)
        rates, shrinks = table[:, 0], table[:, -2] - table[:, 0] * self.regularizer.settings.l2
        expanded = self._open(rates, shrinks, buffers.x)
        if self.loop is not None:
            self.loop(buffers, rates, shrinks)
        else:
            for batch, rate, shrink in zip(batches, rates.tolist(), shrinks.tolist(), strict=True):
                self._learn(batch, rate, shrink)
        self._close(expanded, buffers.x)

    def _plan(self, n: int) -> tuple[Buffers, list[_Batch]]:
        """The views of a block of n rows."""
        whole = self._buffers_for(n)
        first = self.deltas[:n]
        if whole.deltas is whole.errors:
            errors = deltas = [first, *whole.errors[1:]]
        else:
            errors, deltas = [*whole.errors], [first, *whole.deltas[1:]]
        whole = whole._replace(errors=errors, deltas=deltas)
        batches = []
        for start in range(0, n, self.batch):
            stop = min(start + self.batch, n)
            part = whole.part(start, stop)
            batches.append(_Batch(self.gram[start:stop, :stop], self.deltas[:stop], part, self.answers[start:stop]))
        return whole, batches

    def _open(self, rates: NDArray[np.float64], shrinks: NDArray[np.float64], x: Array) -> Expanded:
        """The first layer's z of all rows as they would be without the block's updates; the Gram matrix, weighted."""
        n, net = len(x), self.net
        W, b = net.layers[0]
        expanded = self._expanded(rates, shrinks, n)
        deltas, gram = self.deltas[:n], self.gram[:n, :n]
        np.matmul(x, W.T, out=deltas)
        np.matmul(x, x.T, out=gram)
        np.multiply(gram, expanded.weights, out=gram)
        np.add(gram, expanded.biases, out=gram)
        if expanded.kept is not None:
            np.multiply(deltas, expanded.kept, out=deltas)
        if self.momentum:
            V, v = self.velocity
            np.matmul(x, V.T, out=self.work[:n])
            np.multiply(self.work[:n], expanded.velocity, out=self.work[:n])
            np.subtract(deltas, self.work[:n], out=deltas)
            if v is not None:
                np.multiply(v, expanded.bias_velocity, out=self.work[:n])
                np.subtract(deltas, self.work[:n], out=deltas)
        if b is not None:
            np.add(deltas, b, out=deltas)
        return expanded

    def _learn(self, batch: _Batch, rate: float, shrink: float) -> None:
        """One update: the first layer's z from the deltas so far, then the other layers as always."""
        net, buffers, activations = self.net, batch.buffers, self.activations
        z, n = buffers.outputs[0], len(buffers.t)
        np.matmul(batch.gram, batch.before, out=z)
        activations[0].apply(z, buffers.saved[0], buffers.column)
        later = slice(1, None)
        forward(
            net.layers[later],
            activations[later],
            z,
            buffers.outputs[later],
            buffers.saved[later],
            buffers.column,
            buffers.masks[later],
        )
        y, error = buffers.outputs[-1], buffers.errors[-1]
        np.copyto(batch.answers, y)
        if self.loss_function.is_difference:
            np.subtract(y, buffers.t, out=error)
        else:
            self.loss_function.evaluate(y, buffers.t, error, buffers.scratch, buffers.column)
        if n > 1:
            np.multiply(error, 1 / n, out=error)
        if self.weights is not None:
            np.multiply(error, buffers.weights, out=error)
        self._differentiate(buffers)
        if shrink != 1:
            np.multiply(self.later_weights, shrink, out=self.later_weights)
        for gradient, state, parameters in self.rest_parts:
            self.optimizer.update(gradient, state, parameters, (rate,))

    def _close(self, expanded: Expanded, x: Array) -> None:
        """Bring the first layer up to date."""
        n, (W, b), gradient = len(x), self.net.layers[0], self.first_gradient
        deltas, work = self.deltas[:n], self.work[:n]
        velocity = self.velocity if self.momentum else None
        if expanded.kept is not None:
            np.multiply(W, expanded.kept_last, out=W)
        if velocity is not None:
            np.multiply(velocity.W, expanded.velocity_last, out=gradient)
            np.subtract(W, gradient, out=W)
        np.multiply(deltas, expanded.weights_last, out=work)
        np.matmul(work.T, x, out=gradient)
        np.subtract(W, gradient, out=W)
        if b is not None:
            np.matmul(expanded.biases_last, deltas, out=self.units)
            if velocity is not None and velocity.b is not None:
                np.add(self.units, expanded.bias_velocity_last * velocity.b, out=self.units)
            np.subtract(b, self.units, out=b)
        if velocity is not None:
            np.multiply(velocity.W, expanded.aged, out=velocity.W)
            np.multiply(deltas, expanded.ages, out=work)
            np.matmul(work.T, x, out=gradient)
            np.add(velocity.W, gradient, out=velocity.W)
            if velocity.b is not None:
                np.sum(work, axis=0, out=self.units)
                np.multiply(velocity.b, expanded.aged, out=velocity.b)
                np.add(velocity.b, self.units, out=velocity.b)

    def _expanded(self, rates: NDArray[np.float64], shrinks: NDArray[np.float64], n: int) -> Expanded:
        """The block's coefficients by rows; those of the last block where nothing has changed."""
        key = (n, rates.tobytes(), shrinks.tobytes())
        if key != self.known_for:
            self.known = expand(
                coefficients(rates, shrinks, self.momentum), self.momentum, self.batch, n, self.net.bias, self.net.dtype
            )
            self.known_for = key
        return self.known


def applies(optimizer: Optimizer, batch_size: int, options: Mapping[str, Any]) -> bool:
    """Whether the deferred step is exact for these settings (`options` are those of ReferenceStep), and pays.

    It is exact for gradient descent with or without Polyak's momentum, with weight decay and, where there is no
    momentum, l2.
    """
    momentum = momentum_of(optimizer)
    linear = momentum is not None and not (momentum and options.get("regularization", NONE).l2)
    largest = LARGEST_WITH_MOMENTUM if momentum else LARGEST_BATCH
    return is_plain(options) and linear and batch_size <= largest


def is_best(net: MLP, batch_size: int) -> bool:
    """Whether, where it applies, it is quicker than the compiled loop over batches, too.

    That goes through all of the first layer with every batch. It pays where this layer is small, or not the largest.
    """
    first = net.layers[0].W.size
    return batch_size == 1 or (first > LARGE_LAYER * batch_size and 2 * first > net.weights.size)
