"""Rows from a file: a window of blocks of them is in memory, and the next one is read while this one is learnt.

To visit the rows of a file one by one at random is too slow for any disk. The epoch's order is therefore that of
`xpnn.shuffles.block_shuffled`: blocks of rows that lie together, read in random order, and within a window of some
64 blocks the rows at random. It depends on the file's rows, the seed and the epoch alone, not on the device, the batch
or the memory; what is learnt is bit for bit what rows in memory, in that order, would teach.

A thread reads ahead. What goes wrong there is raised where the rows are asked for, and a run that is broken off leaves
at most a window that is still being read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xpnn import stored
from xpnn.fast.fed import FedStep
from xpnn.network import MLP
from xpnn.optimizers import Optimizer
from xpnn.shuffles import block_shuffled
from xpnn.steps import ReferenceStep
from xpnn.stored import StoredRows

if TYPE_CHECKING:
    from concurrent.futures import Future


class Windows:
    """Room for some windows of an epoch's rows, which take turns in it.

    rows:   of the file; others: what else belongs to each of them, (n, ...), in memory.
    calls:  the most rows that `positions` is asked for at once.

    `buffers` has the room: the rows first, then the others.
    """

    def __init__(self, rows: StoredRows, others: Sequence[NDArray[Any]], calls: int) -> None:
        from concurrent.futures import ThreadPoolExecutor

        self.sources: list[Any] = [rows, *others]
        n, file = len(rows), rows.file
        self.block = min(n, file.block_rows)
        self.blocks = max(1, stored.WINDOW_BYTES // (self.block * file.shape[1] * file.dtype.itemsize))
        self.rows = self.block * self.blocks  # of a window; one has fewer, where the last block is short
        windows = -(-n // self.rows)
        self.slots = min(windows, 1 + -(-calls // (self.rows - self.block + 1)))  # which so many rows can touch
        self.buffers = [
            np.empty((self.slots * self.rows, *source.shape[1:]), dtype=source.dtype) for source in self.sources
        ]
        self.thread = ThreadPoolExecutor(1, "xpnn-windows")  # ends when this object does
        self.read: dict[int, Future[None]] = {}  # by the window's number in the epoch
        self.sequence = self.places = np.empty(0, dtype=np.int64)

    def epoch_order(self, seed: int | None, epoch: int) -> NDArray[np.int64]:
        """See `Step.epoch_order`. What is asked for next are rows of this epoch, in this order from anywhere on."""
        for window in self.read.values():
            window.cancel()
        self.thread.submit(int).result()  # when none is being read any more
        self.read.clear()
        order: NDArray[np.int64]
        order, self.sequence = block_shuffled(np, len(self.sources[0]), self.block, self.blocks, seed, epoch)
        self.places = np.empty_like(self.sequence)
        self.places[self.sequence] = np.arange(len(self.sequence))
        return order

    def positions(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where in `buffers` these rows of the order are, until the next call. Waits until they have been read.

        Raises DataError where the file can't be read, or a row is found to be wrong.
        """
        block, within = np.divmod(rows, self.block)
        window, place = np.divmod(self.places[block], self.blocks)
        first, last = int(window[0]), int(window[-1])
        for number in [number for number in self.read if number < first]:
            del self.read[number]
        for number in range(first, min(first + self.slots, -(-len(self.places) // self.blocks))):
            if number not in self.read:
                self.read[number] = self.thread.submit(self._fill, number)
        for number in range(first, last + 1):
            self.read[number].result()
        positions: NDArray[np.int64] = window % self.slots * self.rows + place * self.block + within
        return positions

    def _fill(self, number: int) -> None:
        """Read a window, from the front of the file to its end."""
        start, n = number % self.slots * self.rows, len(self.sources[0])
        blocks = self.sequence[number * self.blocks : (number + 1) * self.blocks]
        for place in np.argsort(blocks).tolist():
            first = int(blocks[place]) * self.block
            stop, to = min(first + self.block, n), start + place * self.block
            for source, buffer in zip(self.sources, self.buffers, strict=True):
                buffer[to : to + stop - first] = stored.part_of(source, first, stop)


class WindowedStep(FedStep):
    """The step that `make` makes, for rows that stay in a file."""

    feed = "from file"

    def __init__(
        self,
        make: Callable[..., ReferenceStep],
        net: MLP,
        optimizer: Optimizer,
        inputs: StoredRows,
        targets: NDArray[Any],
        batch_size: int,
        **options: Any,
    ) -> None:
        super().__init__(make, net, optimizer, inputs, targets, batch_size, **options)
        self.windows = Windows(inputs, self.sources[1:], self.rows)
        self.reads_from(self.windows.buffers)

    def epoch_order(self, seed: int | None, epoch: int) -> NDArray[np.int64]:
        """See Step."""
        return self.windows.epoch_order(seed, epoch)

    def __call__(self, rows: NDArray[np.int64]) -> None:
        """See Step. Raises DataError where the file can't be read, or a row is found to be wrong."""
        self.step(self.windows.positions(rows))
