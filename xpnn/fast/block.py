"""A step that takes several batches at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from xpnn.augmentation import UNCHANGED
from xpnn.backend import Array
from xpnn.network import MLP
from xpnn.optimizers import Optimizer
from xpnn.regularization import NONE, Regularization
from xpnn.state import Sums
from xpnn.steps import Buffers, ReferenceStep


class BlockStep(ReferenceStep):
    """The reference step for a block of batches: they are gathered together, learnt by `_learn_block`, and counted.

    updates: how many batches.
    """

    def __init__(
        self,
        net: MLP,
        optimizer: Optimizer,
        inputs: Array,
        targets: Array,
        batch_size: int,
        updates: int,
        **options: Any,
    ) -> None:
        self.batch = batch_size
        super().__init__(net, optimizer, inputs, targets, updates * batch_size, **options)
        self.answers = np.empty((self.rows, net.sizes[-1]), dtype=net.dtype)
        self.spare = np.empty_like(self.answers)
        self.done = 0  # updates of the epoch

    def _values_a_row(self, regularization: Regularization) -> int:
        """See ReferenceStep. Loops may go without most buffers."""
        return 0

    def begin_epoch(self, first: int, table: Array) -> None:
        """See Step."""
        super().begin_epoch(first, table)
        self.done = 0

    def go_on(self, updates: int, sums: Sums) -> None:
        """See Step."""
        super().go_on(updates, sums)
        self.done = updates

    def __call__(self, rows: Array) -> None:
        """See Step."""
        updates = -(-len(rows) // self.batch)
        buffers = self._buffers_for(len(rows))
        self._gather(rows, buffers)
        self._learn_block(buffers, self.table[self.done : self.done + updates])
        self._count(buffers)
        self.done += updates

    def _learn_block(self, buffers: Buffers, table: Array) -> None:
        """Learn the batches, each with its row of the table, and leave the outputs in `self.answers`."""
        raise NotImplementedError

    def _count(self, buffers: Buffers) -> None:
        """The block's losses and hits, added to the totals."""
        n = len(buffers.t)
        y = self.answers[:n]
        self.loss_function.evaluate(y, buffers.t, self.spare[:n], buffers.scratch, buffers.column)
        if self.weights is not None:
            np.multiply(buffers.column, buffers.weights, out=buffers.column)
        sums = float(self.total_loss) + np.cumsum(buffers.column, dtype=np.float64)
        self.total_loss[...] = sums[-1]
        finite = np.isfinite(sums)
        self.finite_count += -(-n // self.batch) if finite.all() else int(finite.argmin()) // self.batch
        if self.targets.ndim == 1:
            np.argmax(y, axis=1, out=buffers.predicted)
            np.equal(buffers.predicted, buffers.labels, out=buffers.hits)
            self.total_hits += np.count_nonzero(buffers.hits)


def momentum_of(optimizer: Optimizer) -> float | None:
    """Of gradient descent, whose parameters are linear in all gradients so far; None of another optimizer."""
    is_descent = optimizer.name in ("sgd", "momentum") and not optimizer.settings.get("nesterov", 1)
    return optimizer.settings["momentum"] if is_descent else None


def is_plain(options: Mapping[str, Any]) -> bool:
    """Whether, by the options of `ReferenceStep`, an update is the optimizer's, with weight decay and l2, and no more.

    Its rows are then learnt as they are, without noise, masks and augmentation.
    """
    regularization = options.get("regularization", NONE)
    is_l2 = regularization == Regularization(l2=regularization.l2)
    return is_l2 and not options.get("average_decay") and options.get("augmentation", UNCHANGED) == UNCHANGED
