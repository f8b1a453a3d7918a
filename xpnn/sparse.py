"""Training on sparse rows (CSR), a block of which is dense at a time.

Each block is a run of `xpnn.train` of its own, which goes on where the last one ended. The batches are those of the
dense rows, and so is what is learnt, but for rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn.epochs import Epoch
from xpnn.network import MLP
from xpnn.samples import Samples
from xpnn.shuffles import shuffled_order
from xpnn.state import TrainingState
from xpnn.training import train

BLOCK_BYTES = 1 << 26  # of the rows that are dense at a time; smaller ones pay more for each run's beginning


def is_sparse(inputs: Any) -> bool:
    """Whether checked rows are sparse, and no array."""
    return not isinstance(inputs, np.ndarray)


def rows_of_a_block(inputs: Any) -> int:
    """How many rows of sparse inputs (n, n_in) may be dense at a time; 1 or more."""
    return max(1, BLOCK_BYTES // int(inputs.shape[1] * inputs.dtype.itemsize))


class SparseTraining(Iterator[Epoch]):
    """A run of `xpnn.train`, whose arguments these are, over sparse rows.

    inputs:  (n, n_in), a CSR matrix or array of SciPy, of the net's dtype.
    targets: (n,) or (n, n_out); weights: (n,) or None.
    options: what `train` takes beside these, but for validation and plateau.
    """

    def __init__(
        self,
        net: MLP,
        inputs: Any,
        targets: NDArray[Any],
        weights: NDArray[Any] | None,
        *,
        epochs: int,
        batch_size: int,
        shuffle: bool,
        seed: int,
        resume: TrainingState | None,
        **options: Any,
    ) -> None:
        self.net, self.inputs, self.targets, self.weights = net, inputs, targets, weights
        self.epochs, self.batch_size, self.shuffle, self.seed = epochs, batch_size, shuffle, seed
        self.options, self.epoch, self.last = options, 0 if resume is None else resume.epoch, resume

    def __next__(self) -> Epoch:
        if self.epoch >= self.epochs:
            raise StopIteration
        n, self.epoch = self.inputs.shape[0], self.epoch + 1
        block = self.batch_size * max(1, rows_of_a_block(self.inputs) // self.batch_size)
        order = shuffled_order(np, n, self.seed if self.shuffle else None, self.epoch)
        parts = [order[start : start + block] for start in range(0, n, block)]
        learnt = [(self._learn(part), self._share(part), len(part)) for part in parts if self._share(part)]
        total = math.fsum(record.loss * share for record, share, _ in learnt)
        loss = total / math.fsum(share for _, share, _ in learnt)
        last, accuracy = learnt[-1][0], None
        if last.accuracy is not None:
            accuracy = math.fsum((record.accuracy or 0.0) * rows for record, _, rows in learnt) / n
        seconds = math.fsum(record.seconds for record, _, _ in learnt)
        return replace(last, number=self.epoch, loss=loss, accuracy=accuracy, seconds=seconds)

    def _share(self, part: NDArray[np.int64]) -> float:
        """How much a block counts; one of no weight at all is passed over."""
        return len(part) if self.weights is None else float(self.weights[part].sum())

    def _learn(self, part: NDArray[np.int64]) -> Epoch:
        weights = None if self.weights is None else self.weights[part]
        run = train(
            self.net,
            Samples(self.inputs[part].toarray(), self.targets[part], weights),
            epochs=1,
            batch_size=self.batch_size,
            shuffle=False,
            seed=self.seed,
            resume=None if self.last is None else replace(self.last, epoch=0),
            **self.options,
        )
        (record,) = run  # to its end: what is left suspended keeps its rows until Python looks for cycles
        self.last = run.state()
        return record

    def state(self, *, copied: bool = True) -> TrainingState:
        """See `xpnn.epochs.Training`; it is a copy in any case.

        Raises RuntimeError before the first epoch of a run that began anew.
        """
        if self.last is None:
            raise RuntimeError("the run has not begun: it has a state after its first epoch")
        return replace(self.last, epoch=self.epoch)
