"""Rows that don't fit the card: they stay on the host, and pass through two buffers while the card learns.

A block of rows takes one of two slots. The host waits until the device has learnt the slot's last block, gathers the
rows into pinned memory, which the card can read by itself, and starts their copy on a stream of its own. The compute
stream waits there for the copy, and learns. It is still busy with the other slot's block meanwhile: gathering, copying
and learning go on at the same time, and the slowest of them sets the pace.

Rows that stay in a file are gathered from the windows of `xpnn.fast.windows`.

Three things must not happen, and each has its event: learning from a slot before it is filled (`filled`); writing to
its pinned memory before that is copied, or to its memory on the device before that is learnt (`free`, for both).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnn.backend import Array, ArrayModule, take
from xpnn.fast import captured, online
from xpnn.fast.outer import OuterStep
from xpnn.fast.windows import Windows
from xpnn.losses import smoothed
from xpnn.network import MLP
from xpnn.optimizers import Optimizer
from xpnn.shuffles import shuffled_order
from xpnn.steps import ReferenceStep, mean_weight
from xpnn.stored import StoredRows

SLOTS = 2
SLOT_BYTES = 1 << 26  # of a slot, at most, but for a single batch: what is pinned the host can't use otherwise


class Slot(NamedTuple):
    """Room for a block of rows, in the order of the step's sources."""

    pinned: Sequence[NDArray[Any]]  # on the host, (rows, ...)
    staged: Sequence[Array]  # on the device, (rows, ...)
    numbers: Array  # (rows,) int64 there: the rows' numbers among those of all slots
    filled: Any  # the event after its last copy
    free: Any  # the event after its rows were learnt


class StreamedStep(OuterStep):
    """The step that `make` makes, on a CUDA device, for rows on the host. It learns just what that one would.

    make:            called as ReferenceStep is, and gives a step of its kind.
    inputs, targets: the training rows, NumPy arrays as `MLP.checked_inputs` and `checked_targets` give them; the inputs
                     may be StoredRows.
    weights:         (rows, 1) of the net's dtype, on the host too.

    The rest is as for `ReferenceStep`. The row numbers that it takes are on the host: no device is asked for them.
    """

    rows_xp: ArrayModule = np

    def __init__(
        self,
        make: Callable[..., ReferenceStep],
        net: MLP,
        optimizer: Optimizer,
        inputs: Any,
        targets: NDArray[Any],
        batch_size: int,
        *,
        weights: NDArray[Any] | None = None,
        label_smoothing: float = 0.0,
        **options: Any,
    ) -> None:
        xp, batch = net.xp, min(batch_size, len(inputs))
        if targets.ndim > 1:
            targets = smoothed(targets, net.loss_function, label_smoothing)
        self.sources: list[Any] = [inputs, targets] if weights is None else [inputs, targets, weights]
        self.windows: Windows | None = None

        def room_for(rows: int) -> list[Array | None]:
            staged = [xp.zeros((rows, *source.shape[1:]), dtype=source.dtype) for source in self.sources]
            return staged if len(staged) == 3 else [*staged, None]

        # The step is made for as many rows as a block may have, says how many it takes, and then reads from all slots.
        x, t, w = room_for(_block(self.sources, batch))
        self.step = make(net, optimizer, x, t, batch, weights=w, label_smoothing=label_smoothing, **options)
        self.rows = self.step.rows
        self.n = len(inputs)
        if isinstance(inputs, StoredRows):
            self.windows = Windows(inputs, self.sources[1:], self.rows)
            self.sources = self.windows.buffers
        del x, t, w
        parts = room_for(SLOTS * self.rows)
        self.step.inputs, self.step.targets, self.step.weights = parts
        self.step.mean_weight = mean_weight(weights)
        staged = [part for part in parts if part is not None]
        self.slots = self._slots(staged)
        self.next = 0  # the slot that is filled next
        self.cuda = xp.cuda
        self.copying = xp.cuda.Stream(non_blocking=True)  # any other would wait for the default stream

    def _slots(self, staged: Sequence[Array]) -> list[Slot]:
        from cupyx import empty_pinned

        xp, n = self.step.net.xp, self.rows
        numbers, slots = xp.arange(SLOTS * n), []
        for start in range(0, SLOTS * n, n):
            part = slice(start, start + n)
            pinned = [empty_pinned((n, *source.shape[1:]), dtype=source.dtype) for source in self.sources]
            filled, free = (xp.cuda.Event(disable_timing=True) for _ in range(2))
            xp.cuda.get_current_stream().record(free)  # its memory may still be filled with 0, or be another's
            slots.append(Slot(pinned, [whole[part] for whole in staged], numbers[part], filled, free))
        return slots

    @property
    def name(self) -> str:
        """See Step."""
        return f"{self.step.name}, streamed" + (", from file" if self.windows else "")

    def epoch_order(self, seed: int | None, epoch: int) -> NDArray[np.int64]:
        """See Step."""
        if self.windows is not None:
            return self.windows.epoch_order(seed, epoch)
        order: NDArray[np.int64] = shuffled_order(np, self.n, seed, epoch)
        return order

    def __call__(self, rows: NDArray[np.int64]) -> None:
        """See Step."""
        n, slot, learning = len(rows), self.slots[self.next], self.cuda.get_current_stream()
        self.next = (self.next + 1) % SLOTS
        if self.windows is not None:
            rows = self.windows.positions(rows)
        slot.free.synchronize()
        for source, pinned, staged in zip(self.sources, slot.pinned, slot.staged, strict=True):
            take(source, rows, out=pinned[:n])
            staged[:n].set(pinned[:n], stream=self.copying)
        self.copying.record(slot.filled)
        learning.wait_event(slot.filled)
        self.step(slot.numbers[:n])
        learning.record(slot.free)


def _block(sources: Sequence[Any], batch: int) -> int:
    """How many rows a slot has room for: as many as the step takes at once, or as few batches as are not too large."""
    n: int = len(sources[0])
    of_a_batch: int = batch * sum(source.nbytes // n for source in sources)
    batches = captured.UPDATES * max(1, online.BLOCK // batch)
    return batch * max(1, min(batches, SLOT_BYTES // of_a_batch, -(-n // batch)))
