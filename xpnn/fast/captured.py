"""The fused step captured into CUDA graphs: several updates are one launch, and Python is out of the way.

What a graph reads and writes keeps its place in memory: parameters, buffers, the epoch's table and keys, and the row
numbers, which are copied to where the graph looks for them. What changes from update to update is read on the device,
by the update's position. A graph is made for each number of rows that comes more than once: the first time the same
lines run at once, which also warms up the kernels, the second time they are captured, from then on replayed.
"""

from __future__ import annotations

import warnings
from typing import Any

from xpnn.backend import Array
from xpnn.failures import first_line
from xpnn.fast import graphs
from xpnn.fast.fused import FusedStep
from xpnn.network import MLP
from xpnn.optimizers import Optimizer

UPDATES = 32  # of a graph: a launch, some 10 microseconds, is then little beside them
WORK = 10**11  # of a graph, parameters times rows: Ctrl-C and the bar wait for so much, some 0.03 s of an H100


class CapturedStep(FusedStep):
    """The reference step, but for rounding, for a block of batches on a CUDA device.

    Where CUDA refuses to capture, a warning says why, and the step goes on eagerly.
    """

    name = "captured"

    def __init__(
        self, net: MLP, optimizer: Optimizer, inputs: Array, targets: Array, batch_size: int, **options: Any
    ) -> None:
        super().__init__(net, optimizer, inputs, targets, batch_size, **options)
        self.batch = self.rows
        in_time = max(1, WORK // (net.parameters.size * self.batch))
        self.rows = self.batch * min(UPDATES, in_time, -(-len(inputs) // self.batch))
        self.order = net.xp.zeros(self.rows, dtype="int64")
        self.graphs: dict[int, Any] = {}  # by the number of rows; None: they came once
        self.pool = net.xp.cuda.MemoryPool()
        self.captures = True

    def begin_epoch(self, first: int, table: Array) -> None:
        """See Step."""
        if table.shape != self.table.shape:
            self.graphs.clear()  # they read the old one
        super().begin_epoch(first, table)

    def __call__(self, rows: Array) -> None:
        """See Step."""
        for part in [rows] if len(rows) == self.rows else self._batches(rows):
            self.net.xp.copyto(self.order[: len(part)], part)
            self._learn_or_replay(len(part))

    def _batches(self, rows: Array) -> list[Array]:
        return [rows[start : start + self.batch] for start in range(0, len(rows), self.batch)]

    def _learn_or_replay(self, n: int) -> None:
        if n not in self.graphs:
            self.graphs[n] = None
        elif self.graphs[n] is None and self.captures:
            self.graphs[n] = self._captured(n)
        if self.graphs[n] is None:
            self._learn(n)
        else:
            self.graphs[n].launch()

    def _learn(self, n: int) -> None:
        for batch in self._batches(self.order[:n]):
            self._learn_batch(batch)

    def _learn_batch(self, rows: Array) -> None:
        super().__call__(rows)

    def _captured(self, n: int) -> Any:
        """The graph of n rows; None, and a warning, where CUDA refuses. Nothing is computed."""
        try:
            return graphs.captured(self.net.xp, self.pool, lambda: self._learn(n))
        except Exception as error:  # CUDA, CuPy and cuBLAS each raise their own kinds
            warnings.warn(
                f"the train step can't be captured as a CUDA graph ({first_line(error)}); it runs without, slower",
                RuntimeWarning,
                stacklevel=2,
            )
            self.captures, self.name = False, self.name.replace("captured", "eager")
            return None
