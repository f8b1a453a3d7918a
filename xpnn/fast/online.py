"""Exact one-sample-at-a-time gradient descent on a CUDA device, by updates that are put off.

As on the CPU (`xpnn.fast.deferred` derives it): for a block of rows X, X W^T and the Gram matrix X X^T are two large
products, a third brings the hidden layer up to date at the block's end, and what has to be done row after row touches
vectors of the hidden units alone. That part is one kernel in one thread block, whose rows wait for each other by
barriers instead of launches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xpnn.backend import Array
from xpnn.fast.block import is_plain, momentum_of
from xpnn.fast.captured import CapturedStep
from xpnn.fast.fused import CODES, SOFTMAX
from xpnn.fast.kernels import LOSSES, WARP
from xpnn.network import MLP
from xpnn.optimizers import Optimizer
from xpnn.regularization import NONE
from xpnn.steps import Buffers

BLOCK = 64  # rows: a row looks back at all before it in its block
MOST_UNITS, MOST_OUTPUTS = 1024, 64  # as in kernels.cu


class OnlineStep(CapturedStep):
    """The reference step for batches of one, but for rounding; see `applies` for where it can be used."""

    name = "deferred, captured"

    def __init__(
        self, net: MLP, optimizer: Optimizer, inputs: Array, targets: Array, batch_size: int, **options: Any
    ) -> None:
        super().__init__(net, optimizer, inputs, targets, BLOCK, **options)
        xp, units, rows = net.xp, net.sizes[1], self.batch
        self.deltas = xp.empty((rows, units), dtype=net.dtype)
        self.gram = xp.empty((rows, rows), dtype=net.dtype)

    def _learn_batch(self, rows: Array) -> None:
        buffers, n, hidden = self._buffers_for(len(rows)), len(rows), self.net.layers[0]
        self._gather(rows, buffers)
        z, gram = self.deltas[:n], self.gram.reshape(-1)[: n * n].reshape(n, n)
        self.blas.matmul(buffers.x, hidden.W.T, z)
        self.blas.matmul(buffers.x, buffers.x.T, gram)
        self._learn_rows(buffers, z, gram)
        self.blas.matmul(z.T, buffers.x, hidden.W, -1.0, 1.0)
        self._measure_fused(buffers, None, None)  # the kernel left the outputs, not their sums
        self._count(buffers)

    def _learn_rows(self, buffers: Buffers, z: Array, gram: Array) -> None:
        net, (n, units), n_out = self.net, z.shape, buffers.t.shape[1]
        (_, b), (W, c) = net.layers
        activation, output = net.activations
        is_softmax = output == SOFTMAX
        threads = -(-units // WARP) * WARP
        self.kernels.launch(
            *("learn_rows", (1,), (threads,), z, gram, buffers.t, buffers.weights),
            *(z if b is None else b, W, z if c is None else c, buffers.outputs[-1]),
            *(self.table, self.table.shape[1], self.position, n, units, n_out, net.bias, self.is_weighted),
            *(CODES[activation], 0 if is_softmax else CODES[output], is_softmax),
            *(self.backward_activations[-1] is None, self.error_rule == "book"),
        )

    def _updates_of(self, buffers: Buffers) -> int:
        return len(buffers.t)


def applies(net: MLP, optimizer: Optimizer, batch_size: int, options: Mapping[str, Any]) -> bool:
    """Whether the online step does what these settings ask for: plain gradient descent, one hidden layer.

    options: those of ReferenceStep.
    """
    if batch_size != 1 or len(net.sizes) != 3 or net.loss not in LOSSES:
        return False
    is_descent = momentum_of(optimizer) == 0 and not optimizer.weight_decay
    is_alone = is_plain(options) and not options.get("regularization", NONE).l2
    hidden, output = net.activations
    has_codes = hidden in CODES and (output in CODES or (output == SOFTMAX and net.loss_function.link == "softmax"))
    return is_descent and is_alone and has_codes and net.sizes[1] <= MOST_UNITS and net.sizes[2] <= MOST_OUTPUTS
