"""Augmentation ahead of its use: while one batch is learnt, a thread gathers and augments the next one.

What is drawn for a batch depends on the number of its update alone, so that it may be drawn at any time. NumPy and the
compiled loops let other threads run while they compute: where a core is free, augmentation costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xpnn.augmentation import UNCHANGED
from xpnn.backend import Array, matmul, take, usable_cores
from xpnn.fast.fed import FedStep
from xpnn.fast.windows import Windows
from xpnn.network import MLP
from xpnn.optimizers import Optimizer
from xpnn.scaling import scale_pixels
from xpnn.shuffles import shuffled_order
from xpnn.state import Sums
from xpnn.steps import ReferenceStep
from xpnn.stored import StoredRows

if TYPE_CHECKING:
    from concurrent.futures import Future

LEAST_VALUES = 50_000  # of a batch, 64 rows of 784: with fewer, to hand it over costs what it gains or more


def pays(net: MLP, batch_size: int, options: dict[str, Any]) -> bool:
    """Whether there is enough to augment on the CPU, and a core for it beside the one that learns."""
    is_augmented = options.get("augmentation", UNCHANGED) != UNCHANGED
    is_enough = is_augmented and batch_size * net.sizes[0] >= LEAST_VALUES
    return net.device.kind == "cpu" and is_enough and usable_cores() > 1


class AheadStep(FedStep):
    """The step that `make` makes, for rows that are augmented one batch ahead; they may stay in a file."""

    feed = "augmented ahead"

    def __init__(
        self,
        make: Callable[..., ReferenceStep],
        net: MLP,
        optimizer: Optimizer,
        inputs: NDArray[Any] | StoredRows,
        targets: NDArray[Any],
        batch_size: int,
        **options: Any,
    ) -> None:
        from concurrent.futures import ThreadPoolExecutor

        super().__init__(make, net, optimizer, inputs, targets, batch_size, **options)
        self.augmenter: Any = self.step.augmenter  # which it has, where this step `pays`
        self.step.augmenter = None
        self.windows = Windows(inputs, self.sources[1:], self.rows) if isinstance(inputs, StoredRows) else None
        if self.windows is not None:
            self.sources, self.feed = self.windows.buffers, "augmented ahead, from file"
        n, self.n = self.rows, len(inputs)
        x = np.empty((2 * n, net.sizes[0]), dtype=net.dtype)
        self.buffers = [x, *(np.empty((2 * n, *part.shape[1:]), dtype=part.dtype) for part in self.sources[1:])]
        self.pixels = np.empty((n, net.sizes[0]), dtype="uint8")
        self.reads_from(self.buffers)
        self.positions = np.arange(2 * n)
        self.thread = ThreadPoolExecutor(1, "xpnn-augmentation")  # ends when this object does
        self.order = np.empty(0, dtype=np.int64)
        self.ready: Future[None] | None = None  # the batch that comes next, in the slot that is next
        self.next = self.slot = self.done = 0  # where in the order it begins; its slot; updates of the epoch
        self.update = np.zeros(1, dtype=np.int64)  # that is augmented for

    def begin_epoch(self, first: int, table: Array) -> None:
        """See Step."""
        self._forget()
        super().begin_epoch(first, table)
        self.augmenter.draws.begin_epoch(first, len(table))
        self.done = 0

    def go_on(self, updates: int, sums: Sums) -> None:
        """See Step."""
        super().go_on(updates, sums)
        self.done = updates

    def epoch_order(self, seed: int | None, epoch: int) -> NDArray[np.int64]:
        """See Step. What is asked for next are rows of this epoch, in this order from anywhere on."""
        self._forget()
        windows = self.windows
        self.order = shuffled_order(np, self.n, seed, epoch) if windows is None else windows.epoch_order(seed, epoch)
        return self.order

    def _forget(self) -> None:
        """Wait until no batch is being augmented, and leave the one that was."""
        if self.ready is not None and not self.ready.cancel():
            self.ready.exception()
        self.ready = None

    def __call__(self, rows: NDArray[np.int64]) -> None:
        """See Step. Raises what went wrong in the thread."""
        if self.ready is None:
            self.next = int(np.flatnonzero(self.order == rows[0])[0])
            self._prepare(rows, self.slot, self.done)
        else:
            self.ready.result()
        start = self.slot * self.rows
        self.next, self.slot, self.done = self.next + len(rows), 1 - self.slot, self.done + 1
        following = self.order[self.next : self.next + self.rows]
        self.ready = self.thread.submit(self._prepare, following, self.slot, self.done) if len(following) else None
        self.step(self.positions[start : start + len(rows)])

    def _prepare(self, rows: NDArray[np.int64], slot: int, update: int) -> None:
        """Gather a batch into a slot, and augment it for the update of this number in the epoch."""
        self.update.fill(update)
        if self.windows is not None:
            rows = self.windows.positions(rows)
        to = slice(slot * self.rows, slot * self.rows + len(rows))
        x, *others = (buffer[to] for buffer in self.buffers)
        if self.sources[0].dtype == "uint8":
            pixels = self.pixels[: len(rows)]
            take(self.sources[0], rows, out=pixels)
            scale_pixels(pixels, self.step.net.scaling, out=x)
        else:
            take(self.sources[0], rows, out=x)
        for source, other in zip(self.sources[1:], others, strict=True):
            take(source, rows, out=other)
        self.augmenter.augment(x, self.update, matmul)
